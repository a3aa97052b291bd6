//! `--model`: a folder, or a model of the hub, of which only what is used is fetched.

use anyhow::{Result, anyhow, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use zoo_assets::{AssetError, Fetched, Options, Store};

/// Files beside `config.json` and the weights that models may have.
const OTHERS: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
];
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A folder with a model; one that was put together is removed when this is dropped.
pub(super) struct Source {
    folder: PathBuf,
    _made: Option<tempfile::TempDir>,
}

impl Source {
    /// `model` is a folder, an asset's URI, or `hf:ORG/NAME[@REVISION]`, of which `more` files are asked
    /// for, too.
    pub(super) fn of(model: &str, offline: bool, more: &[&str]) -> Result<Self> {
        let path = Path::new(model);
        if path.is_dir() {
            return Ok(Self { folder: path.to_owned(), _made: None });
        }
        if path.is_file() {
            bail!("`{model}` is a file; name the folder that it lies in");
        }
        let remote = ["hf:", "pypi:", "https:", "http:"].iter().any(|scheme| model.starts_with(scheme));
        if !remote {
            let parts = model.split('/').filter(|part| !part.is_empty() && !part.starts_with('.')).count();
            let hub = if parts == 2 && !model.starts_with('/') {
                format!("; a model of the hub is `hf:{}`", model.trim_end_matches('/'))
            } else {
                String::new()
            };
            bail!("there is no folder `{model}`{hub}");
        }
        let mut options = Options::from_environment();
        options.offline |= offline;
        let store = Store::open(options);
        match model.strip_prefix("hf:").map(|rest| rest.trim_end_matches('/')) {
            Some(name) if name.split('/').count() == 2 => Hub { store, name }.assemble(more),
            _ => {
                let fetched = store.fetch(model, Path::new("."), None, &())?;
                if !fetched.path.is_dir() {
                    bail!("`{model}` is a file; a model is a folder");
                }
                Ok(Self { folder: fetched.path, _made: None })
            }
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

struct Hub<'m> {
    store: Store,
    /// `ORG/NAME[@REVISION]`
    name: &'m str,
}

/// A file that is not there, or not here and not to be asked for, is none of the model's.
fn there(fetched: Result<Fetched, AssetError>) -> Result<Option<Fetched>, AssetError> {
    match fetched {
        Ok(fetched) => Ok(Some(fetched)),
        Err(AssetError::Refused { status: 404, .. } | AssetError::Offline { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Hub<'_> {
    fn fetch(&self, repository: &str, revision: Option<&str>, file: &str) -> Result<Fetched, AssetError> {
        let at = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
        self.store.fetch(&format!("hf:{repository}{at}/{file}"), Path::new("."), None, &())
    }

    /// Links to the files of one commit, in a folder of their own.
    fn assemble(&self, more: &[&str]) -> Result<Source> {
        let (repository, revision) = match self.name.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (self.name, None),
        };
        let config = self.fetch(repository, revision, "config.json")?;
        // All files of the commit that the first is of, whatever the name stands for in a moment.
        let commit = config.revision.clone();
        let of_commit = |file: &str| self.fetch(repository, commit.as_deref().or(revision), file);
        let mut files = vec![("config.json".to_owned(), config)];
        for name in OTHERS.iter().chain(more) {
            files.extend(there(of_commit(name))?.map(|fetched| ((*name).to_owned(), fetched)));
        }
        match there(of_commit(WEIGHTS))? {
            Some(weights) => files.push((WEIGHTS.to_owned(), weights)),
            None => {
                let Some(index) = there(of_commit(INDEX))? else {
                    return Err(self.without_weights());
                };
                for shard in shards(&index.path)? {
                    files.push((shard.clone(), of_commit(&shard)?));
                }
                files.push((INDEX.to_owned(), index));
            }
        }
        let made = tempfile::Builder::new().prefix("zoo-model-").tempdir()?;
        for (name, fetched) in &files {
            let link = made.path().join(name);
            if let Some(parent) = link.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::os::unix::fs::symlink(fetched.path.canonicalize()?, link)?;
        }
        Ok(Source { folder: made.path().to_owned(), _made: Some(made) })
    }

    fn without_weights(&self) -> anyhow::Error {
        if self.store.options().offline {
            return anyhow!(
                "the weights of `hf:{}` are not in the cache, and the network must not be used; call once with it",
                self.name
            );
        }
        anyhow!(
            "`hf:{0}` has neither {WEIGHTS} nor {INDEX}; where it has a pytorch_model.bin, transformers converts it: \
             AutoModel.from_pretrained(\"{0}\").save_pretrained(FOLDER), and FOLDER is the model then",
            self.name
        )
    }
}

/// The files that an index names.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let wrong = |reason: String| anyhow!("{}: {reason}", index.display());
    let text = std::fs::read_to_string(index).map_err(|e| wrong(e.to_string()))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| wrong("it has no `weight_map`".to_owned()))?;
    let mut names = BTreeSet::new();
    for name in map.values().filter_map(|name| name.as_str()) {
        if Path::new(name).file_name().and_then(|n| n.to_str()) != Some(name) {
            return Err(wrong(format!("it names `{name}`, which is no file beside it")));
        }
        names.insert(name.to_owned());
    }
    Ok(names)
}
