//! Messages of the plugin's own `tracing` go to the host: each library has a dispatcher of its own,
//! so they would vanish otherwise.

use crate::boundary::host;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use zoo_abi::Str;

struct Forwarder;

#[derive(Default)]
struct Fields {
    message: String,
    fields: Map<String, Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.insert(field.name().to_owned(), Value::from(format!("{value:?}")));
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.fields.insert(field.name().to_owned(), Value::from(value));
        }
    }
}

fn number(level: &Level) -> u32 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

fn text(text: &str) -> Str {
    Str { ptr: text.as_ptr(), len: text.len() }
}

impl Subscriber for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // SAFETY: the host's function takes any valid string.
        metadata.is_event()
            && host().is_ok_and(|host| unsafe {
                (host.log_enabled)(number(metadata.level()), text(metadata.target()))
            })
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Spans stay on the host's side, which knows what it is calling.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let json = Value::Object(fields.fields).to_string();
        let metadata = event.metadata();
        if let Ok(host) = host() {
            // SAFETY: the strings live through the call.
            unsafe {
                (host.log)(
                    number(metadata.level()),
                    text(metadata.target()),
                    text(&fields.message),
                    text(&json),
                );
            }
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Takes over this library's dispatcher; a second call changes nothing.
pub(crate) fn install() {
    let _ = tracing::subscriber::set_global_default(Forwarder);
}
