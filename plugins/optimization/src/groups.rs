//! Which parameters are decayed, and how fast each layer learns, from the parameters' names.

use std::collections::BTreeMap;

/// Parameters that one call may update together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Whether weight decay applies.
    pub decayed: bool,
    /// Factor of the learning rate.
    pub factor: f64,
    /// Places in the list of names.
    pub members: Vec<usize>,
}

/// Groups parameters by decay and factor, in the order of their first members.
pub fn groups(names: &[&str], no_decay: &[String], layer_decay: f64) -> Vec<Group> {
    let factors = layer_factors(names, layer_decay);
    let mut groups: Vec<Group> = Vec::new();
    for (i, (name, factor)) in names.iter().zip(factors).enumerate() {
        let decayed = !is_excluded(name, no_decay);
        match groups.iter_mut().find(|group| group.decayed == decayed && group.factor == factor) {
            Some(group) => group.members.push(i),
            None => groups.push(Group { decayed, factor, members: vec![i] }),
        }
    }
    groups
}

/// Whether one of the last two parts of the name (`LayerNorm.weight`, `query.bias`) contains one of
/// the words, whatever the case. The first part, the model's name in the recipe, does not count.
pub fn is_excluded(name: &str, words: &[String]) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let from = parts.len().saturating_sub(2).max(usize::from(parts.len() > 1));
    parts[from..].iter().any(|part| {
        let part = part.to_lowercase();
        words.iter().any(|word| !word.is_empty() && part.contains(&word.to_lowercase()))
    })
}

/// Factors of the learning rate that fall by `decay` a layer, from the top of each model down.
///
/// Depth 0 are the embeddings, depth i + 1 layer i, depth n + 2 everything else (heads), with n
/// layers; the factor is `decay ^ (n + 2 - depth)`, as in ELECTRA's code.
pub fn layer_factors(names: &[&str], decay: f64) -> Vec<f64> {
    if decay == 1.0 {
        return vec![1.0; names.len()];
    }
    let mut layers: BTreeMap<&str, u32> = BTreeMap::new();
    for name in names {
        let count = layers.entry(instance(name)).or_default();
        if let Some(Depth::Layer(index)) = depth(name) {
            *count = (*count).max(index + 1);
        }
    }
    names
        .iter()
        .map(|name| {
            let top = layers.get(instance(name)).copied().unwrap_or(0) + 2;
            let depth = match depth(name) {
                Some(Depth::Embeddings) => 0,
                Some(Depth::Layer(index)) => index + 1,
                None => top,
            };
            decay.powf(f64::from(top - depth))
        })
        .collect()
}

enum Depth {
    Embeddings,
    Layer(u32),
}

fn instance(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

fn depth(name: &str) -> Option<Depth> {
    let mut parts = name.split('.').skip(1).peekable();
    while let Some(part) = parts.next() {
        if part == "embeddings" || part == "embeddings_project" {
            return Some(Depth::Embeddings);
        }
        if matches!(part, "layer" | "layers" | "h" | "block" | "blocks")
            && let Some(index) = parts.peek().and_then(|next| next.parse::<u32>().ok())
        {
            return Some(Depth::Layer(index.min(1 << 20)));
        }
    }
    None
}
