//! Faults of the table that the entry gives.

use crate::raw;
use zoo_plugin::abi::{Component, Plugin, Str};

/// Stands before the switch in the file.
pub const SWITCH_MARK: &[u8; 16] = b"misbehaving as:\0";
/// Bytes of the switch, filled with zeros.
pub const SWITCH_LENGTH: usize = 32;

#[used]
static SWITCH: [u8; 16 + SWITCH_LENGTH] = {
    let mut bytes = [0; 16 + SWITCH_LENGTH];
    let mut i = 0;
    while i < 16 {
        bytes[i] = SWITCH_MARK[i];
        i += 1;
    }
    bytes
};

fn switch() -> String {
    // SAFETY: a static; volatile, since the file may hold other bytes than the source says.
    let bytes = unsafe { (&raw const SWITCH).read_volatile() };
    String::from_utf8_lossy(&bytes[16..]).trim_end_matches('\0').to_owned()
}

fn text(text: &'static str) -> Str {
    Str { ptr: text.as_ptr(), len: text.len() }
}

fn copy(component: &Component) -> Component {
    // SAFETY: plain pointers and numbers that live as long as the process.
    unsafe { std::ptr::read(component) }
}

/// What lies after a struct that says it is shorter than it is.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// # Safety
/// The table is the SDK's.
pub(crate) unsafe fn spoil(sound: &'static Plugin) -> *const Plugin {
    // SAFETY: as many components as the table says, with constant names.
    let mut components: Vec<&'static Component> = unsafe {
        std::slice::from_raw_parts(sound.components, sound.len)
            .iter()
            .map(|component| {
                let component = &**component;
                let name = std::slice::from_raw_parts(component.name.ptr, component.name.len);
                if name == b"misbehaving.raw" { leak(raw::table(copy(component))) } else { component }
            })
            .collect()
    };
    // `misbehaving.raw` first, since faults are put into the first one.
    // SAFETY: constant names, as above.
    components
        .sort_by_key(|c| unsafe { std::slice::from_raw_parts(c.name.ptr, c.name.len) } != b"misbehaving.raw");
    let mut plugin = Plugin {
        magic: sound.magic,
        size: sound.size,
        major: sound.major,
        minor: sound.minor,
        name: sound.name,
        version: sound.version,
        build_json: sound.build_json,
        components: std::ptr::null(),
        len: 0,
    };
    let first = components[0];
    let changed = |change: &dyn Fn(&mut Component)| -> &'static Component {
        let mut component = copy(first);
        change(&mut component);
        leak(component)
    };
    match switch().as_str() {
        "null table" => return std::ptr::null(),
        "magic" => plugin.magic = u64::from_le_bytes(*b"NOTAZOO!"),
        "size" => plugin.size = 16,
        "major" => plugin.major = 2,
        "minor" => plugin.minor = 9,
        "name" => plugin.name = text("zoo-somebody-else"),
        "name with NUL" => plugin.name = text("zoo-mis\0behaving"),
        "name not UTF-8" => plugin.name = Str { ptr: b"zoo-\xff".as_ptr(), len: 5 },
        "name null" => plugin.name = Str { ptr: std::ptr::null(), len: 7 },
        "version" => plugin.version = text("9.9.9"),
        "build facts" => plugin.build_json = text("{\"name\":\"zoo-misbehaving\"}"),
        "component null" => {
            let list = leak([std::ptr::null::<Component>()]);
            return leak(Plugin { components: list.as_ptr(), len: 1, ..plugin });
        }
        "list null" => return leak(Plugin { components: std::ptr::null(), len: 2, ..plugin }),
        "component size" => components[0] = changed(&|c| c.size = 40),
        "component name with NUL" => components[0] = changed(&|c| c.name = text("misbehaving.r\0w")),
        "component twice" => components.push(first),
        // The last one is `misbehaving.wrong_gradient`.
        "component missing" => drop(components.pop()),
        "component unknown" => components.push(changed(&|c| c.name = text("misbehaving.other"))),
        "schema differs" => {
            components[0] = changed(&|c| c.schema_json = text("{\"name\":\"misbehaving.raw\"}"))
        }
        "call null" => {
            // A null `fn` must not exist in Rust: the bytes are written.
            let spoiled = leak(std::mem::MaybeUninit::new(copy(first)));
            // SAFETY: the component is ours, and nobody calls it.
            unsafe {
                let place = spoiled.as_ptr().cast::<u8>().cast_mut();
                place.add(std::mem::offset_of!(Component, call)).cast::<usize>().write(0);
            }
            let mut list: Vec<*const Component> = components.iter().map(|c| std::ptr::from_ref(*c)).collect();
            list[0] = spoiled.as_ptr();
            let list: &'static [*const Component] = list.leak();
            return leak(Plugin { components: list.as_ptr(), len: list.len(), ..plugin });
        }
        _ => {}
    }
    let list: &'static [&'static Component] = components.leak();
    plugin.components = list.as_ptr().cast();
    plugin.len = list.len();
    leak(plugin)
}
