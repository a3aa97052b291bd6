//! Commands that are shown to the user.

use std::path::Path;

/// A word as a shell takes it: as it is where that is safe, in quotes otherwise.
pub fn shell_word(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The command that goes on with a run. `typed` is the one that it was computed by: plugins that were named
/// there are named again, since a run's folder alone allows nothing.
///
/// ```
/// let typed = ["zoo", "run", "a.mlm", "--plugin", "my plugins", "--seeds", "2"].map(str::to_owned);
/// let command = zoo_record::resume_command("runs/a-1".as_ref(), &typed);
/// assert_eq!(command, "zoo run --resume runs/a-1 --plugin 'my plugins'");
/// ```
pub fn resume_command(run_dir: &Path, typed: &[String]) -> String {
    let mut command = format!("zoo run --resume {}", shell_word(&run_dir.display().to_string()));
    let mut words = typed.iter().map(String::as_str);
    let mut named = Vec::new();
    while let Some(word) = words.next() {
        let plugin = if word == "--plugin" { words.next() } else { word.strip_prefix("--plugin=") };
        named.extend(plugin.filter(|plugin| !named.contains(plugin)));
    }
    for plugin in named {
        command.push_str(" --plugin ");
        command.push_str(&shell_word(plugin));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        assert_eq!(shell_word("runs/electra-1"), "runs/electra-1");
        assert_eq!(shell_word("my runs/it's"), r"'my runs/it'\''s'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn plugins_are_named_again_once() {
        let typed = ["zoo", "--plugin=a.so", "run", "--resume", "r", "--plugin", "a.so", "--plugin", "b"];
        let command = resume_command("r".as_ref(), &typed.map(str::to_owned));
        assert_eq!(command, "zoo run --resume r --plugin a.so --plugin b");
        assert_eq!(resume_command("r".as_ref(), &[]), "zoo run --resume r");
    }
}
