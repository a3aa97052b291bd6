//! Clusters of tokens: of a corpus, by the company that tokens keep, or of a file.

use crate::vocabulary::Vocabulary;
use rand::SeedableRng;
use std::collections::{BTreeMap, HashMap};
use zoo_plugin::prelude::*;

/// Dimensions of a token's vector.
const SIZE: usize = 64;
/// Tokens to each side that count as company.
const WINDOW: usize = 2;
/// Rounds of k-means.
const ROUNDS: usize = 25;

/// The cluster of every ordinary token, and the tokens of every cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clusters {
    of: HashMap<i64, usize>,
    members: Vec<Vec<i64>>,
}

impl Clusters {
    /// From the cluster of each id; what is not among `ordinary` is in none.
    ///
    /// # Errors
    ///
    /// A cluster beyond `count`, a token without a cluster, a cluster without a token.
    pub fn new(assigned: &BTreeMap<i64, usize>, ordinary: &[i64], count: usize) -> Result<Self> {
        let mut clusters = Self { of: HashMap::new(), members: vec![Vec::new(); count] };
        for id in ordinary {
            let Some(cluster) = assigned.get(id) else {
                return Err(Error::new(format!("the token {id} is in no cluster")).at("file"));
            };
            let Some(members) = clusters.members.get_mut(*cluster) else {
                let text = format!("the token {id} is in cluster {cluster}, and there are {count}");
                return Err(Error::new(text).at("clusters").help("clusters are numbered from 0"));
            };
            members.push(*id);
            clusters.of.insert(*id, *cluster);
        }
        if let Some(empty) = clusters.members.iter().position(Vec::is_empty) {
            let text = format!("no ordinary token is in cluster {empty} of {count}");
            return Err(Error::new(text).at("clusters").help("ask for fewer clusters"));
        }
        Ok(clusters)
    }

    /// The cluster of a token; none for special ones.
    pub fn of(&self, id: i64) -> Option<usize> {
        self.of.get(&id).copied()
    }

    /// The tokens of a cluster.
    pub fn members(&self, cluster: usize) -> &[i64] {
        &self.members[cluster]
    }

    /// A JSON list with the cluster of each id, by id; below 0 for none.
    ///
    /// # Errors
    ///
    /// What is no such list.
    pub fn read(json: &[u8]) -> Result<BTreeMap<i64, usize>> {
        let list: Vec<i64> = serde_json::from_slice(json).map_err(|e| {
            Error::new(format!("clusters of tokens: {e}"))
                .at("file")
                .help("give a JSON list with the cluster of each token id, by id, and -1 for none")
        })?;
        Ok((0..).zip(list).filter_map(|(id, cluster)| Some((id, usize::try_from(cluster).ok()?))).collect())
    }
}

/// How often tokens stand near each other.
#[derive(Clone, Debug, Default)]
pub struct Company {
    pairs: HashMap<(i64, i64), f64>,
    totals: BTreeMap<i64, f64>,
}

impl Company {
    /// Counts the company of a row's tokens.
    pub fn add(&mut self, ids: &[i64]) {
        for (at, id) in ids.iter().enumerate() {
            let near = at.saturating_sub(WINDOW)..(at + WINDOW + 1).min(ids.len());
            for other in near.filter(|other| *other != at) {
                *self.pairs.entry((*id, ids[other])).or_default() += 1.0;
                *self.totals.entry(*id).or_default() += 1.0;
            }
        }
    }

    /// A vector of length 1 for every token: positive pointwise mutual information with its company, at random
    /// signs. Zero for tokens that were not seen.
    fn vectors(&self, ids: &[i64], random: &mut ChaCha8Rng) -> Vec<[f64; SIZE]> {
        let sum: f64 = self.totals.values().sum();
        let signs: BTreeMap<i64, [f64; SIZE]> = self
            .totals
            .keys()
            .map(|id| (*id, std::array::from_fn(|_| if random.random_bool(0.5) { 1.0 } else { -1.0 })))
            .collect();
        let places: HashMap<i64, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        let mut vectors = vec![[0.0; SIZE]; ids.len()];
        // In order: sums of floats depend on it.
        let mut pairs: Vec<_> = self.pairs.iter().collect();
        pairs.sort_unstable_by_key(|(pair, _)| **pair);
        for ((id, other), count) in pairs {
            let (Some(place), Some(signs)) = (places.get(id), signs.get(other)) else { continue };
            let information = (count * sum / (self.totals[id] * self.totals[other])).ln().max(0.0);
            vectors[*place].iter_mut().zip(signs).for_each(|(x, sign)| *x += information * sign);
        }
        for vector in &mut vectors {
            let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
            if length > 0.0 {
                vector.iter_mut().for_each(|x| *x /= length);
            }
        }
        vectors
    }

    /// `count` clusters of tokens by k-means, begun as k-means++ does; tokens that were not seen are shared out
    /// among them in turn.
    ///
    /// # Errors
    ///
    /// Fewer tokens than clusters.
    pub fn clusters(&self, ids: &[i64], count: usize, seed: u64) -> Result<BTreeMap<i64, usize>> {
        if ids.len() < count {
            let text = format!("{count} clusters of {} ordinary tokens", ids.len());
            return Err(Error::new(text).at("clusters").help("ask for fewer clusters than there are tokens"));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let vectors = self.vectors(ids, &mut random);
        let distance = |a: &[f64; SIZE], b: &[f64; SIZE]| -> f64 {
            a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
        };
        let (seen, unseen): (Vec<usize>, Vec<usize>) =
            (0..ids.len()).partition(|place| vectors[*place].iter().any(|x| *x != 0.0));
        let mut centres: Vec<[f64; SIZE]> = Vec::new();
        while centres.len() < count.min(seen.len()) {
            let far: Vec<f64> = seen
                .iter()
                .map(|place| {
                    let each = centres.iter().map(|centre| distance(&vectors[*place], centre));
                    each.fold(f64::INFINITY, f64::min).min(1e9)
                })
                .collect();
            let mut draw = random.random::<f64>() * far.iter().sum::<f64>();
            let chosen = far.iter().position(|share| {
                draw -= share;
                draw < 0.0
            });
            centres.push(vectors[seen[chosen.unwrap_or(seen.len() - 1)]]);
        }
        let mut nearest = vec![0; seen.len()];
        for _ in 0..ROUNDS {
            for (own, place) in nearest.iter_mut().zip(&seen) {
                let each = centres.iter().map(|centre| distance(&vectors[*place], centre)).enumerate();
                *own = each.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(cluster, _)| cluster);
            }
            // A cluster that lost its tokens takes the one that is farthest from its centre.
            for empty in 0..centres.len() {
                if nearest.contains(&empty) {
                    continue;
                }
                let shared = |i: &usize| nearest.iter().filter(|own| **own == nearest[*i]).count() > 1;
                let far = |i: &usize| distance(&vectors[seen[*i]], &centres[nearest[*i]]);
                let taken = (0..seen.len()).filter(shared).max_by(|a, b| far(a).total_cmp(&far(b)));
                if let Some(taken) = taken {
                    nearest[taken] = empty;
                }
            }
            for (cluster, centre) in centres.iter_mut().enumerate() {
                let own: Vec<_> = seen.iter().zip(&nearest).filter(|(_, own)| **own == cluster).collect();
                *centre = std::array::from_fn(|x| {
                    own.iter().map(|(place, _)| vectors[**place][x]).sum::<f64>() / own.len().max(1) as f64
                });
            }
        }
        let mut assigned: BTreeMap<i64, usize> =
            seen.iter().zip(&nearest).map(|(place, cluster)| (ids[*place], *cluster)).collect();
        // From the last cluster on, which has no token yet where fewer were seen than clusters are asked for.
        for (turn, place) in unseen.into_iter().enumerate() {
            assigned.insert(ids[place], count - 1 - turn % count);
        }
        Ok(assigned)
    }
}

/// The clusters of a vocabulary: from a file's bytes, or of a data reference with `ids` and `attention_mask`.
pub(crate) fn of_corpus(
    cx: &Build<'_>,
    corpus: Handle,
    vocabulary: &Vocabulary,
    count: usize,
    rows: Option<usize>,
) -> Result<BTreeMap<i64, usize>> {
    let path = cx.stage("clusters.json", |to| {
        let length = cx.length(corpus)?.min(rows.unwrap_or(usize::MAX));
        let mut company = Company::default();
        for from in (0..length).step_by(256) {
            if cx.cancelled() {
                return Err(Error::cancelled());
            }
            let indices: Vec<i64> = (from as i64..(from + 256).min(length) as i64).collect();
            let columns = cx.read(corpus, &indices)?;
            let ids = columns.tensor("ids")?;
            let width = ids.size2()?.1.max(1) as usize;
            let ids: Vec<i64> = Vec::try_from(&ids.f_reshape([-1])?)?;
            for row in ids.chunks(width) {
                let row: Vec<i64> = row.iter().copied().filter(|id| !vocabulary.is_special(*id)).collect();
                company.add(&row);
            }
        }
        let assigned = company.clusters(&vocabulary.ordinary, count, 0)?;
        let last = assigned.keys().max().copied().unwrap_or(-1);
        let list: Vec<i64> =
            (0..=last).map(|id| assigned.get(&id).map_or(-1, |cluster| *cluster as i64)).collect();
        let json = serde_json::to_vec(&list)?;
        std::fs::write(to, json).map_err(|e| Error::new(format!("{}: {e}", to.display())))
    })?;
    let json = std::fs::read(&path).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
    Clusters::read(&json)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]
    use super::*;

    /// Tokens 10 to 19 stand beside 0, tokens 20 to 29 beside 1.
    fn company() -> Company {
        let mut company = Company::default();
        for i in 0..10 {
            for _ in 0..20 {
                company.add(&[0, 10 + i, 0]);
                company.add(&[1, 20 + i, 1]);
            }
        }
        company
    }

    #[test]
    fn tokens_of_one_company_are_in_one_cluster() {
        let ids: Vec<i64> = (10..30).collect();
        let assigned = company().clusters(&ids, 2, 0).unwrap();
        assert_eq!(assigned, company().clusters(&ids, 2, 0).unwrap());
        let clusters = Clusters::new(&assigned, &ids, 2).unwrap();
        assert!((10..20).all(|id| clusters.of(id) == clusters.of(10)));
        assert!((20..30).all(|id| clusters.of(id) == clusters.of(20)));
        assert_ne!(clusters.of(10), clusters.of(20));
        assert_eq!(clusters.of(5), None);
        assert_eq!(clusters.members(clusters.of(10).unwrap()).len(), 10);
    }

    #[test]
    fn no_cluster_is_empty_while_there_are_tokens() {
        let ids: Vec<i64> = (8..30).collect();
        for count in [1, 2, 5, 21, 22] {
            let assigned = company().clusters(&ids, count, 3).unwrap();
            Clusters::new(&assigned, &ids, count).unwrap();
        }
        assert_eq!(company().clusters(&ids, 23, 0).unwrap_err().at, "clusters");
    }

    #[test]
    fn files_are_lists_by_id() {
        let read = Clusters::read(b"[-1, 0, 1, 0]").unwrap();
        let clusters = Clusters::new(&read, &[1, 2, 3], 2).unwrap();
        assert_eq!((clusters.members(0), clusters.of(2)), ([1, 3].as_slice(), Some(1)));
        assert_eq!(Clusters::new(&read, &[0], 2).unwrap_err().at, "file");
        assert_eq!(Clusters::new(&read, &[1, 2, 3], 1).unwrap_err().at, "clusters");
        assert_eq!(Clusters::new(&read, &[1, 2, 3], 3).unwrap_err().at, "clusters");
        assert!(Clusters::read(b"{}").unwrap_err().help.contains("JSON list"));
    }
}
