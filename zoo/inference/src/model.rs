//! A checkpoint folder as a component of the plugin `zoo-checkpoints`.

use crate::{Error, Result};
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::Device;
use zoo_host::{
    CallScope, InstanceId, LocalEnvironment, Outputs, Parameter, Registry, Value, Wanted, World, WorldOptions,
};
use zoo_schema::experiment::{Instance, Place};

/// What a model is used for: the component that a checkpoint is loaded into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// States alone.
    Encoder,
    /// Scores of masked tokens.
    MaskedLm,
    /// Scores of next tokens.
    CausalLm,
    /// Scores of replaced tokens.
    ReplacedToken,
    /// Classes of texts.
    SequenceClassifier,
    /// Classes of tokens.
    TokenClassifier,
    /// Scores of next tokens of a text that follows from another.
    Seq2Seq,
    /// States of images.
    VisionEncoder,
    /// Classes of images.
    ImageClassifier,
    /// Hidden patches of images.
    MaskedImage,
    /// States of sound.
    SpeechEncoder,
    /// Letters of sound.
    Ctc,
    /// Scores of next tokens of a text with images.
    VisionLanguage,
}

/// Ends of class names, longest first where one ends in another.
const ENDS: &[(&str, Head)] = &[
    ("ForMaskedLM", Head::MaskedLm),
    ("LlavaForConditionalGeneration", Head::VisionLanguage),
    ("ForConditionalGeneration", Head::Seq2Seq),
    ("ForCausalLM", Head::CausalLm),
    ("LMHeadModel", Head::CausalLm),
    ("ForSequenceClassification", Head::SequenceClassifier),
    ("ForTokenClassification", Head::TokenClassifier),
    ("ElectraForPreTraining", Head::ReplacedToken),
    ("ForImageClassification", Head::ImageClassifier),
    ("ForMaskedImageModeling", Head::MaskedImage),
    ("ViTMAEForPreTraining", Head::MaskedImage),
    ("VisionModel", Head::VisionEncoder),
    ("ForCTC", Head::Ctc),
    ("Wav2Vec2BertModel", Head::SpeechEncoder),
    ("Wav2Vec2ConformerModel", Head::SpeechEncoder),
    ("ViTModel", Head::VisionEncoder),
    ("ViTMAEModel", Head::VisionEncoder),
    ("BeitModel", Head::VisionEncoder),
    ("Model", Head::Encoder),
];

impl Head {
    /// The head of a model class, as `architectures` of a `config.json` names it.
    pub fn of_class(class: &str) -> Option<Self> {
        ENDS.iter().find(|(end, _)| class.ends_with(end)).map(|(_, head)| *head)
    }

    /// The head of the class that wrote a checkpoint folder; none where it is unknown.
    ///
    /// # Errors
    /// A `config.json` that cannot be read.
    pub fn of_folder(folder: &Path) -> Result<Option<Self>> {
        let config: Map<String, Json> = read_json(&folder.join("config.json"))?;
        Ok(config.get("architectures").and_then(|a| a.get(0)).and_then(Json::as_str).and_then(Self::of_class))
    }

    /// The component's name.
    pub fn component(self) -> &'static str {
        match self {
            Self::Encoder => "checkpoint.encoder",
            Self::MaskedLm => "checkpoint.masked_lm",
            Self::CausalLm => "checkpoint.causal_lm",
            Self::ReplacedToken => "checkpoint.replaced_token",
            Self::SequenceClassifier => "checkpoint.sequence_classifier",
            Self::TokenClassifier => "checkpoint.token_classifier",
            Self::Seq2Seq => "checkpoint.seq2seq",
            Self::VisionEncoder => "checkpoint.vision_encoder",
            Self::ImageClassifier => "checkpoint.image_classifier",
            Self::MaskedImage => "checkpoint.masked_image",
            Self::SpeechEncoder => "checkpoint.speech_encoder",
            Self::Ctc => "checkpoint.ctc",
            Self::VisionLanguage => "checkpoint.vision_language",
        }
    }
}

/// A checkpoint in a world of its own.
#[derive(Debug)]
pub struct Model {
    world: World,
    instance: InstanceId,
    head: Head,
    sizes: Map<String, Json>,
    config: Map<String, Json>,
    folder: PathBuf,
    // Holds what components stage.
    _stages: tempfile::TempDir,
}

/// Longest JSON file that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Reads a JSON file of at most 16 MB.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let fail = |reason: String| Error::File { path: path.display().to_string(), reason };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|f| std::io::Read::read_to_string(&mut std::io::Read::take(f, LONGEST), &mut text))
        .map_err(|e| fail(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| fail(e.to_string()))
}

impl Model {
    /// Opens a folder. The head is that of the class which wrote the checkpoint, unless given.
    ///
    /// # Errors
    /// Files that are missing or damaged, a class that is unknown, and everything that the host says
    /// about weights.
    pub fn open(registry: &Arc<Registry>, folder: &Path, head: Option<Head>, device: Device) -> Result<Self> {
        Self::open_with(registry, folder, head, device, Map::new())
    }

    /// The same, told the sizes of its sites, which adapters need: parameters of its component.
    ///
    /// # Errors
    /// As [`Model::open`], and sizes that are not the model's.
    pub fn open_with(
        registry: &Arc<Registry>,
        folder: &Path,
        head: Option<Head>,
        device: Device,
        sizes: Map<String, Json>,
    ) -> Result<Self> {
        let config: Map<String, Json> = read_json(&folder.join("config.json"))?;
        let class = config.get("architectures").and_then(|a| a.get(0)).and_then(Json::as_str);
        let written_as = class.and_then(Head::of_class);
        let head = match head {
            Some(head) => head,
            None => written_as.ok_or_else(|| {
                let class = class.unwrap_or("no class");
                Error::Unknown(format!(
                    "{}: `architectures` of config.json names {class}, which zoo has no component for",
                    folder.display()
                ))
            })?,
        };
        let stages = tempfile::tempdir().map_err(|e| Error::File {
            path: std::env::temp_dir().display().to_string(),
            reason: e.to_string(),
        })?;
        let environment = Arc::new(LocalEnvironment { folder: stages.path().to_owned() });
        let options = WorldOptions { device, map_weights: true, ..WorldOptions::default() };
        let world = World::new(Arc::clone(registry), environment, options);
        let place = folder.display().to_string();
        let mut parameters = sizes.clone();
        parameters.insert("config".to_owned(), json!(folder.join("config.json").display().to_string()));
        // What is missing or damaged is said where weights are loaded.
        let has_pooler = |folder: &Path| {
            let shapes = zoo_host::weight_shapes(folder).unwrap_or_default();
            let poolers = ["pooler.dense.weight", "pooler.layernorm.weight"];
            shapes.keys().any(|name| poolers.iter().any(|pooler| name.ends_with(pooler)))
        };
        if matches!(head, Head::Encoder | Head::VisionEncoder) && has_pooler(folder) {
            parameters.insert("pooler".to_owned(), json!(true));
        }
        let created = world.create(&Instance {
            name: "model".to_owned(),
            component: head.component().to_owned(),
            kind: "architecture".to_owned(),
            parameters,
            share: Vec::new(),
            weights: Some(place),
            frozen: false,
            on: None,
            place: Place::default(),
            parameter_places: Map::new(),
        });
        let instance = created.map_err(|error| match class {
            // What is missing is missing because the checkpoint is of another kind.
            Some(class) if written_as != Some(head) && matches!(error, zoo_host::Error::Weights { .. }) => {
                let place = folder.display();
                Error::Unknown(format!("{place} is a {class}, and no {}: {error}", head.component()))
            }
            _ => error.into(),
        })?;
        Ok(Self { world, instance, head, sizes, config, folder: folder.to_owned(), _stages: stages })
    }

    /// What it is used for.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The sizes of its sites that it was opened with.
    pub fn sizes(&self) -> &Map<String, Json> {
        &self.sizes
    }

    /// The world that it lives in, under the name `model`: for components that go with it.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Its `config.json`.
    pub fn config(&self) -> &Map<String, Json> {
        &self.config
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its parameters and buffers, under the names of the checkpoint.
    pub fn parameters(&self) -> Vec<(String, Parameter)> {
        self.world.parameters().into_iter().map(|p| (p.local_name().to_owned(), p)).collect()
    }

    /// Calls it outside of training, and gives the outputs of these names.
    ///
    /// # Errors
    /// As [`World::call`].
    pub fn call(&self, inputs: &[(&str, &Value)], wanted: &[&str], gradients: bool) -> Result<Outputs> {
        let names: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        let scope = CallScope { gradients, wanted: Wanted::Only(names.into()), ..CallScope::default() };
        Ok(self.world.call(self.instance, &scope, inputs)?)
    }
}
