//! What a recipe defines, and the overrides of profiles, arms and the command line.

use crate::{Input, Messages, list, nearest, unknown_name};
use zoo_diagnostics::{Diagnostic, Sources, Span, codes};
use zoo_schema::experiment::Paper;
use zoo_syntax::ast::{
    Arm, Binding, BlockItem, Claim, Expr, ExprKind, Item, Param, Recipe, Setting, Stage, Step, UsePlugin,
};

/// Where a value comes from, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    UsedFile,
    Recipe,
    Profile,
    Arm,
    CommandLine,
}

/// The parsed files; the first is the recipe.
pub(crate) struct Parsed {
    files: Vec<(String, Recipe)>,
    sets: Vec<Setting>,
    /// Places of `--profile` and of every `--arm` on the command line.
    profile: Option<Span>,
    arms: Vec<Span>,
}

/// Parses the recipe, the files it uses, and `--set`.
pub(crate) fn read(input: &Input<'_>, sources: &mut Sources, messages: &mut Messages) -> Parsed {
    let file = sources.add(input.name, input.text);
    let parse = zoo_syntax::parse(file, input.text);
    for diagnostic in parse.diagnostics {
        messages.push(diagnostic);
    }
    let mut files = vec![(String::new(), parse.recipe)];
    let mut used = Vec::new();
    for item in &files[0].1.items {
        let Item::UseFile(used_file) = item else { continue };
        let path = &used_file.path.value;
        let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".mlm");
        let name = used_file.name.as_ref().map_or(stem, |name| &name.text);
        match (input.read)(path) {
            Ok(text) => {
                let id = sources.add(path.as_str(), text.as_str());
                let parse = zoo_syntax::parse(id, &text);
                for diagnostic in parse.diagnostics {
                    messages.push(diagnostic);
                }
                for inner in &parse.recipe.items {
                    if let Item::UseFile(inner) = inner {
                        messages.push(
                            Diagnostic::error(codes::NESTED_USE, "a used file may not use files itself")
                                .primary(inner.span, "not allowed here")
                                .help("name this file in the recipe too"),
                        );
                    }
                }
                used.push((format!("{name}."), parse.recipe));
            }
            Err(reason) => messages.push(
                Diagnostic::error(codes::FILE_NOT_READ, format!("`{path}` cannot be read"))
                    .primary(used_file.path.span, reason),
            ),
        }
    }
    files.extend(used);
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |option: &str, value: &str| arguments.extend([option.to_owned(), value.to_owned()]);
    input.profile.iter().for_each(|profile| add("--profile", profile));
    input.arms.iter().for_each(|arm| add("--arm", arm));
    input.sets.iter().for_each(|set| add("--set", set));
    let (mut profile, mut arms, mut sets) = (None, Vec::new(), Vec::new());
    if !arguments.is_empty() {
        let (id, ranges) = sources.add_command_line(&arguments);
        let text = sources.text(id).to_owned();
        for (option, range) in arguments.iter().step_by(2).zip(ranges.into_iter().skip(1).step_by(2)) {
            match option.as_str() {
                "--profile" => profile = Some(id.span(range)),
                "--arm" => arms.push(id.span(range)),
                _ => match zoo_syntax::parse_setting(id, &text, range) {
                    Ok(setting) => sets.push(setting),
                    Err(wrong) => wrong.into_iter().for_each(|d| messages.push(d)),
                },
            }
        }
    }
    Parsed { files, sets, profile, arms }
}

/// A definition with the scope that its right side is read in.
pub(crate) struct Defined<'a, T> {
    pub(crate) item: &'a T,
    pub(crate) scope: &'a str,
}

// Derived, these would ask the same of `T`.
impl<T> Clone for Defined<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Defined<'_, T> {}

/// A value that takes the place of another.
#[derive(Clone)]
pub(crate) struct Override<'a> {
    pub(crate) path: String,
    pub(crate) setting: &'a Setting,
    pub(crate) layer: Layer,
    /// For arms: which.
    pub(crate) arm: Option<usize>,
}

/// Everything defined, by full name.
pub(crate) struct Definitions<'a> {
    pub(crate) params: Vec<(String, Defined<'a, Param>)>,
    pub(crate) bindings: Vec<(String, Defined<'a, Binding>)>,
    pub(crate) steps: Vec<(String, Defined<'a, Step>)>,
    pub(crate) stages: Vec<(String, Defined<'a, Stage>)>,
    pub(crate) arms: Vec<&'a Arm>,
    pub(crate) claims: Vec<&'a Claim>,
    pub(crate) plugins: Vec<&'a UsePlugin>,
    pub(crate) overrides: Vec<Override<'a>>,
    /// Names of statements that could not be read: known, but nothing more.
    pub(crate) broken: Vec<String>,
    profiles: Vec<String>,
    paper: Option<&'a zoo_syntax::ast::Paper>,
}

pub(crate) fn find<'d, 'a, T>(
    list: &'d [(String, Defined<'a, T>)],
    name: &str,
) -> Option<&'d Defined<'a, T>> {
    list.iter().find(|(n, _)| n == name).map(|(_, d)| d)
}

pub(crate) fn settings(body: &[BlockItem]) -> impl Iterator<Item = &Setting> {
    body.iter().filter_map(|item| match item {
        BlockItem::Setting(setting) => Some(setting),
        BlockItem::Broken(_) => None,
    })
}

/// The settings of a phase.
pub(crate) const PHASE_SETTINGS: &[&str] = &[
    "continues",
    "data",
    "step",
    "steps",
    "batch",
    "accumulate",
    "optimizer",
    "schedule",
    "clip_norm",
    "aggregate",
    "sampling",
    "precision",
    "train",
    "evaluate_every",
    "save_every",
    "keep",
    "best",
    "patience",
    "log_every",
];

/// The settings of an evaluation, which are the arguments of `measure`.
pub(crate) const EVAL_SETTINGS: &[&str] = &["step", "data", "batch", "limit", "after", "during"];

impl<'a> Definitions<'a> {
    pub(crate) fn collect(
        parsed: &'a Parsed,
        input: &Input<'_>,
        sources: &Sources,
        messages: &mut Messages,
    ) -> Self {
        let mut this = Self {
            params: Vec::new(),
            bindings: Vec::new(),
            steps: Vec::new(),
            stages: Vec::new(),
            arms: Vec::new(),
            claims: Vec::new(),
            plugins: Vec::new(),
            overrides: Vec::new(),
            broken: Vec::new(),
            profiles: Vec::new(),
            paper: None,
        };
        let mut seen: Vec<(String, Span)> = Vec::new();
        let mut chosen = None;
        let mut arm_profile_names: Vec<zoo_syntax::ast::Name> = Vec::new();
        for (scope, recipe) in &parsed.files {
            let main = scope.is_empty();
            for item in &recipe.items {
                if let (Some(name), false) =
                    (item.name(), matches!(item, Item::Paper(_) | Item::UseFile(_) | Item::Profile(_)))
                {
                    let group = if matches!(item, Item::Arm(_)) { "arm " } else { "" };
                    let full = format!("{group}{scope}{}", name.text);
                    if let Some((_, first)) = seen.iter().find(|(n, _)| *n == full) {
                        messages.push(
                            Diagnostic::error(
                                codes::DEFINED_TWICE,
                                format!("`{}` is defined twice", name.text),
                            )
                            .primary(name.span, "again here")
                            .secondary(*first, "first here")
                            .help("give one of them another name"),
                        );
                        continue;
                    }
                    seen.push((full, name.span));
                }
                let full = |name: &zoo_syntax::ast::Name| format!("{scope}{}", name.text);
                match item {
                    Item::Param(item) => this.params.push((full(&item.name), Defined { item, scope })),
                    Item::Binding(item) => this.bindings.push((full(&item.name), Defined { item, scope })),
                    Item::Step(item) => this.steps.push((full(&item.name), Defined { item, scope })),
                    Item::Stage(item) => this.stages.push((full(&item.name), Defined { item, scope })),
                    Item::Arm(item) if main => {
                        let named = arm_profiles(item, messages);
                        if named.is_empty() || named.iter().any(|n| Some(n.text.as_str()) == input.profile) {
                            this.arms.push(item);
                        }
                        arm_profile_names.extend(named);
                    }
                    Item::Claim(item) if main => this.claims.push(item),
                    Item::UsePlugin(item) => this.plugins.push(item),
                    Item::Paper(item) if main => this.paper = Some(item),
                    Item::Profile(item) if main => {
                        this.profiles.push(item.name.text.clone());
                        if input.profile == Some(item.name.text.as_str()) {
                            chosen = Some(item);
                        }
                    }
                    Item::Broken(item) => this.broken.extend(item.name.iter().map(full)),
                    _ => {}
                }
            }
        }
        if let (Some(name), None, Some(span)) = (input.profile, chosen, parsed.profile) {
            let text = format!("the recipe has no profile `{name}`");
            messages.push(not_in_recipe(codes::UNKNOWN_PROFILE, text, name, span, &this.profiles));
        }
        for name in arm_profile_names {
            if !this.profiles.contains(&name.text) {
                messages.push(unknown_name(&name.text, name.span, "profile", &this.profiles));
            }
        }
        let names: Vec<String> = this.arms.iter().map(|arm| arm.name.text.clone()).collect();
        for (wanted, span) in input.arms.iter().zip(&parsed.arms) {
            if !names.contains(wanted) {
                let text = format!("the recipe has no arm `{wanted}`");
                messages.push(not_in_recipe(codes::UNKNOWN_ARM, text, wanted, *span, &names));
            }
        }
        if let Some(profile) = chosen {
            this.add_overrides(settings(&profile.body), Layer::Profile, None, messages);
        }
        for (index, arm) in this.arms.clone().into_iter().enumerate() {
            let overrides = settings(&arm.body).filter(|s| s.path.to_string() != ARM_PROFILES);
            this.add_overrides(overrides, Layer::Arm, Some(index), messages);
        }
        this.add_overrides(parsed.sets.iter(), Layer::CommandLine, None, messages);
        let _ = sources;
        this
    }

    fn add_overrides(
        &mut self,
        settings: impl Iterator<Item = &'a Setting>,
        layer: Layer,
        arm: Option<usize>,
        messages: &mut Messages,
    ) {
        let start = self.overrides.len();
        for setting in settings {
            let path = setting.path.to_string();
            if let Some(first) = self.overrides[start..].iter().find(|o| o.path == path) {
                messages.push(
                    Diagnostic::error(codes::SET_TWICE, format!("`{path}` is set twice in one place"))
                        .primary(setting.path.span, "again here")
                        .secondary(first.setting.path.span, "first here")
                        .help("keep one of them: neither would win over the other"),
                );
                continue;
            }
            if self.target_known(setting, layer, messages) {
                self.overrides.push(Override { path, setting, layer, arm });
            }
        }
    }

    /// Whether the first names of the path are a definition with such a part; parameters of
    /// components are looked up later, when the component is known.
    fn target_known(&self, setting: &'a Setting, layer: Layer, messages: &mut Messages) -> bool {
        let path = setting.path.to_string();
        if self.broken.iter().any(|name| path == *name || path.starts_with(&format!("{name}."))) {
            return false;
        }
        let names = &setting.path.names;
        // A statement of a used file that could not be read.
        let broken_there =
            names.len() > 1 && self.broken.contains(&format!("{}.{}", names[0].text, names[1].text));
        if broken_there {
            return false;
        }
        let scoped = names.len() > 1 && {
            let two = format!("{}.{}", names[0].text, names[1].text);
            self.has(&two)
        };
        let head =
            if scoped { format!("{}.{}", names[0].text, names[1].text) } else { names[0].text.clone() };
        let rest = &names[if scoped { 2 } else { 1 }..];
        if find(&self.params, &head).is_some() {
            if let Some(extra) = rest.first() {
                messages.push(
                    Diagnostic::error(
                        codes::UNKNOWN_PARAMETER,
                        format!("`{head}` is a parameter and has no parts"),
                    )
                    .primary(extra.span, "nothing can follow"),
                );
                return false;
            }
            return true;
        }
        if let Some(defined) = find(&self.stages, &head) {
            let Some(part) = rest.first() else {
                messages.push(
                    Diagnostic::error(
                        codes::UNKNOWN_PARAMETER,
                        format!("`{head}` is a phase; set one of its settings"),
                    )
                    .primary(setting.path.span, "a whole phase cannot be set")
                    .help(format!("write `{head}.steps = …`, for example")),
                );
                return false;
            };
            if !PHASE_SETTINGS.contains(&part.text.as_str()) {
                messages.push(unknown_part(&head, "setting", part, PHASE_SETTINGS, defined.item.name.span));
                return false;
            }
            return true;
        }
        if let Some(defined) = find(&self.bindings, &head) {
            if layer == Layer::Profile && defined.item.kind == zoo_syntax::ast::BindingKind::Objective {
                messages.push(
                    Diagnostic::warning(
                        codes::PROFILE_CHANGES_MEANING,
                        format!("the profile changes the objective `{head}`"),
                    )
                    .primary(setting.path.span, "profiles scale an experiment")
                    .note(
                        "a profile may set sizes, data and margins; another objective is another experiment",
                    )
                    .help("make it an arm"),
                );
            }
            let is_eval = is_measure(&defined.item.value);
            if let (true, Some(part)) = (is_eval, rest.first())
                && !EVAL_SETTINGS.contains(&part.text.as_str())
            {
                messages.push(unknown_part(&head, "setting", part, EVAL_SETTINGS, defined.item.name.span));
                return false;
            }
            return true;
        }
        let what = if find(&self.steps, &head).is_some() {
            messages.push(
                Diagnostic::error(codes::UNKNOWN_PARAMETER, format!("the step `{head}` cannot be set"))
                    .primary(setting.path.span, "a step is fixed")
                    .help("give the phase another step: `PHASE.step = OTHER_STEP`"),
            );
            return false;
        } else {
            "parameter, component or phase"
        };
        messages.push(self.unknown(&setting.path, "", what));
        false
    }

    /// Whether the name is that of a parameter, component or phase.
    pub(crate) fn has(&self, name: &str) -> bool {
        find(&self.params, name).is_some()
            || find(&self.bindings, name).is_some()
            || find(&self.stages, name).is_some()
    }

    /// Whether the name is known in any way: as itself, as a used file, or as a broken statement.
    pub(crate) fn begins(&self, name: &str) -> bool {
        let prefix = format!("{name}.");
        self.has(name)
            || find(&self.steps, name).is_some()
            || self.broken.iter().any(|n| n == name || n.starts_with(&prefix))
            || self.all_names().iter().any(|n| n.starts_with(&prefix))
    }

    /// A message for a path whose first name is not known, or is a used file without the second.
    pub(crate) fn unknown(&self, path: &zoo_syntax::ast::Path, scope: &str, what: &str) -> Diagnostic {
        let first = &path.names[0];
        let within = |prefix: &str| -> Vec<String> {
            self.all_names().iter().filter_map(|n| n.strip_prefix(prefix).map(str::to_owned)).collect()
        };
        let inner = within(&format!("{}.", first.text));
        match path.names.get(1) {
            Some(second) if !inner.is_empty() => {
                let diagnostic = Diagnostic::error(
                    codes::UNKNOWN_NAME,
                    format!("the file `{}` has no `{}`", first.text, second.text),
                )
                .primary(second.span, "not known there");
                match nearest(&second.text, inner.iter().map(String::as_str)) {
                    Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), second.span, near),
                    None => diagnostic.note(format!("it has {}", list(&inner))),
                }
            }
            _ => unknown_name(&first.text, first.span, what, &within(scope)),
        }
    }

    pub(crate) fn all_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.params.iter().map(|(n, _)| n.clone()).collect();
        names.extend(self.bindings.iter().map(|(n, _)| n.clone()));
        names.extend(self.stages.iter().map(|(n, _)| n.clone()));
        names
    }

    /// The override in force for a path in an arm.
    pub(crate) fn overriding(&self, path: &str, arm: usize) -> Option<&Override<'a>> {
        self.overrides
            .iter()
            .filter(|o| o.path == path && o.arm.is_none_or(|a| a == arm))
            .max_by_key(|o| o.layer)
    }

    pub(crate) fn arm_count(&self) -> usize {
        self.arms.len().max(1)
    }

    pub(crate) fn profile_names(&self) -> Vec<String> {
        self.profiles.clone()
    }

    pub(crate) fn paper(&self) -> Paper {
        let Some(paper) = self.paper else { return Paper::default() };
        let text = |name: &str| {
            settings(&paper.body)
                .find(|s| s.path.to_string() == name)
                .and_then(|s| match &s.value.kind {
                    ExprKind::Text(text) => Some(text.value.clone()),
                    _ => None,
                })
                .unwrap_or_default()
        };
        Paper {
            name: paper.name.text.clone(),
            title: text("title"),
            arxiv: text("arxiv"),
            summary: paper.docs.text.clone(),
        }
    }
}

/// A message for something that the command line asks for in vain.
fn not_in_recipe(
    code: codes::Code,
    headline: String,
    name: &str,
    span: Span,
    known: &[String],
) -> Diagnostic {
    let diagnostic = Diagnostic::error(code, headline).primary(span, "asked for here");
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), span, near),
        None => diagnostic.note(format!("it has {}", list(known))),
    }
}

/// The setting of an arm that says which profiles have it: all, without it.
const ARM_PROFILES: &str = "profiles";

/// The profiles that an arm names; a mistake is reported and names none.
fn arm_profiles(arm: &Arm, messages: &mut Messages) -> Vec<zoo_syntax::ast::Name> {
    let Some(setting) = settings(&arm.body).find(|s| s.path.to_string() == ARM_PROFILES) else {
        return Vec::new();
    };
    let name = |item: &Expr| {
        let text = match &item.kind {
            ExprKind::Name(name) => name.clone(),
            ExprKind::Text(text) => text.value.clone(),
            _ => return None,
        };
        Some(zoo_syntax::ast::Name { text, span: item.span })
    };
    let names = match &setting.value.kind {
        ExprKind::List(items) if !items.is_empty() => items.iter().map(name).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    names.unwrap_or_else(|| {
        messages.push(
            Diagnostic::error(codes::WRONG_TYPE, "`profiles` takes a list of profiles")
                .primary(setting.value.span, "not a list of names")
                .help("write `profiles = [mini]`"),
        );
        Vec::new()
    })
}

/// Whether an expression is `measure(…)`.
pub(crate) fn is_measure(expression: &Expr) -> bool {
    matches!(&expression.kind, ExprKind::Call { callee, .. } if matches!(&callee.kind, ExprKind::Name(n) if n == "measure"))
}

/// A message for a part that something does not have.
pub(crate) fn unknown_part(
    of: &str,
    what: &str,
    part: &zoo_syntax::ast::Name,
    known: &[&str],
    defined: Span,
) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(codes::UNKNOWN_PARAMETER, format!("`{of}` has no {what} `{}`", part.text))
            .primary(part.span, format!("unknown {what}"))
            .secondary(defined, format!("`{of}` is this"));
    match nearest(&part.text, known.iter().copied()) {
        Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), part.span, near),
        None => {
            let known: Vec<String> = known.iter().map(|k| (*k).to_owned()).collect();
            diagnostic.note(format!("it has {}", list(&known)))
        }
    }
}
