#![no_main]

use libfuzzer_sys::fuzz_target;
use zoo_inference::chat::Template;

fuzz_target!(|source: &str| {
    let messages = serde_json::json!([
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": "Hello, 你好" },
    ]);
    let _ = Template::new(source, "chat_template.jinja").render(&messages, true);
});
