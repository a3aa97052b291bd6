//! Adapters: small trained parts that change a model at its sites, whatever the architecture.
//!
//! An adapter is made once for each site that the recipe selects, sees what the site read and what it gave,
//! and answers with what it shall give instead. All of them begin as the identity, to the bit.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod bottleneck;
mod lora;

pub use bottleneck::{Bottleneck, BottleneckParts};
pub use lora::{LowRank, LowRankFactors};

use zoo_plugin::prelude::*;

/// The sizes of the adapter's site: what it reads, and what it gives.
fn sizes(cx: &Build<'_>) -> Result<(i64, i64)> {
    let site = cx
        .site()
        .ok_or_else(|| Error::new("an adapter acts on sites").help("write `on MODEL.SITES` behind it"))?;
    match (site.input, site.output) {
        (Some(input), Some(output)) => Ok((input, output)),
        _ => Err(Error::new(format!("the sizes of the site `{}` are not known", site.name)).help(
            "a model that is made by its `config.json` is given them: `layers`, `hidden`, `queries`, `keys` and `feed_forward`",
        )),
    }
}

zoo_plugin::export_plugin!(zoo_adapters);
