//! What the layout looks like.

use zoo_format::format;

#[track_caller]
fn becomes(text: &str, wanted: &str) {
    assert_eq!(format(text), wanted);
    assert_eq!(format(wanted), wanted, "formatting twice");
}

#[test]
fn columns_are_aligned_within_a_run() {
    becomes(
        "mlm 1\n\n\n\n/// Temperature.\nparam tau:real=0.04 in (0,1]\n/// Length.\nparam span : tokens = 5 tok in >=0 // short\n\
         param pool:one_of(\"mean\",\"cls\")=\"mean\"// how\n\nparam x : real = - 1\n",
        "mlm 1\n\n/// Temperature.\nparam tau  : real                  = 0.04   in (0, 1]\n/// Length.\n\
         param span : tokens                = 5 tok  in >= 0 // short\n\
         param pool : one_of(\"mean\", \"cls\") = \"mean\"         // how\n\nparam x : real = -1\n",
    );
}

#[test]
fn bindings_and_lets_are_aligned_among_their_own() {
    becomes(
        "mlm 1\ndata raw = text.lines( file : asset(\"a\") )\ntokenizer wordpiece=a.b\n\
         step s(batch){\nlet a=f(x)\nlet long = g(a).mean( )\nlog b = a\nloss=2*a\n\n}\n",
        "mlm 1\ndata      raw       = text.lines(file: asset(\"a\"))\ntokenizer wordpiece = a.b\n\
         step s(batch) {\n  let a    = f(x)\n  let long = g(a).mean()\n  log b = a\n  loss = 2 * a\n}\n",
    );
}

#[test]
fn long_lists_are_broken_and_short_ones_joined() {
    becomes(
        "mlm 1\nmodel disc = transformer.electra_discriminator(vocabulary: vocabulary, layers: layers, hidden: hidden, \
         heads: heads, betas: [1,2])\nmodel small = f(\n  a: 1,\n  b: 2,\n)\n",
        "mlm 1\nmodel disc = transformer.electra_discriminator(\n  vocabulary: vocabulary,\n  layers: layers,\n  \
         hidden: hidden,\n  heads: heads,\n  betas: [1, 2],\n)\nmodel small = f(a: 1, b: 2)\n",
    );
}

#[test]
fn long_sums_are_broken_before_their_operators() {
    let sum = |arm: &str, joint: &str| {
        ["first", "second", "third", "fourth", "fifth", "sixth"]
            .map(|m| format!("correlation_{m}({arm})"))
            .join(joint)
    };
    becomes(
        &format!(
            "mlm 1\nclaim \"c\" {{\nrequire ({})/6 > ({}) / 6 + 0.2\n}}\n",
            sum("mirror", "+"),
            sum("mean", " +\n")
        ),
        &format!(
            "mlm 1\nclaim \"c\" {{\n  require (\n    {}\n  ) / 6 > (\n    {}\n  ) / 6 + 0.2\n}}\n",
            sum("mirror", "\n    + "),
            sum("mean", "\n    + ")
        ),
    );
    // The loosest operators, and no others.
    let product = "correlation_first(mean) * correlation_second(mean) * -2";
    becomes(
        &format!("mlm 1\nparam x : real = ({product} - (a - b) * c + {product})\n"),
        &format!("mlm 1\nparam x : real = (\n  {product}\n  - (a - b) * c\n  + {product}\n)\n"),
    );
    // One of several values; each operand has its line.
    becomes(
        &format!("mlm 1\nclaim \"c\" {{\nrequire abs({}) < 1\n}}\n", sum("mean", " - ")),
        &format!("mlm 1\nclaim \"c\" {{\n  require abs(\n    {},\n  ) < 1\n}}\n", sum("mean", "\n      - ")),
    );
    // Without brackets there is no place to break: short calls stay whole.
    let long = format!("mlm 1\nclaim \"c\" {{\n  require {} > 1\n}}\n", sum("mean", " + "));
    becomes(&long, &long);
}

#[test]
fn comments_in_lists_break_them() {
    becomes(
        "mlm 1\nmasker mask = m.u( // all\n  // the usual one\n  rate: r // x\n  , words: w, // y\n  // last\n)\n",
        "mlm 1\nmasker mask = m.u( // all\n  // the usual one\n  rate: r, // x\n  words: w, // y\n  // last\n)\n",
    );
}

#[test]
fn blocks_stay_on_a_line_if_they_are() {
    becomes(
        "mlm 1\narm plain:baseline \"as it comes\"{tune.steps=0 steps}\narm other : treatment{ a=1 }\n\
         profile paper{\n}\nphase tune after warm { // now\n\n\n  steps = 1\n  // end\n\n}\n",
        "mlm 1\narm plain : baseline  \"as it comes\" { tune.steps = 0 steps }\n\
         arm other : treatment               { a = 1 }\nprofile paper {}\n\
         phase tune after warm { // now\n  steps = 1\n  // end\n}\n",
    );
}

#[test]
fn what_cannot_be_read_is_kept() {
    becomes(
        "mlm 1\nparam   a:count=1\n   parm  b  :  count   // why\nphase p {\n steps=1\n     this   is wrong\n}\n\
         models x {\n   a =1\n}\n",
        "mlm 1\nparam a : count = 1\n   parm  b  :  count   // why\nphase p {\n  steps = 1\n     this   is wrong\n}\n\
         models x {\n   a =1\n}\n",
    );
}

#[test]
fn signs_stand_as_they_are_written_elsewhere() {
    becomes(
        "mlm 1\nadapter l=p.l( ) on lm.layers[ * ].attn.{q,v}\nclaim \"c\"{\nrequire (a(x)-b(y))>- 1 pt\n\
         over 5 seeds paired at 95% confidence\nx={a:1,b:[ ]}\n}\n",
        "mlm 1\nadapter l = p.l() on lm.layers[*].attn.{q, v}\nclaim \"c\" {\n  require (a(x) - b(y)) > -1 pt\n  \
         over 5 seeds paired at 95% confidence\n  x = {a: 1, b: []}\n}\n",
    );
}

#[test]
fn carriage_returns_are_spaces() {
    assert_eq!(format("mlm 1\r\r\nx = ( // c\r\r\r\n\ry\r"), "mlm 1\nx = ( // c  \n y\n");
}
