//! Reads a plugin file's two sections. Works on any byte source of the `object` crate, so that
//! tests can feed damaged bytes; files are read piece by piece, never mapped, so that a file that
//! shrinks meanwhile is an error and not a signal.

use crate::reason::{Here, Reason};
use object::elf;
use object::read::elf::{Dyn, FileHeader, SectionHeader, Sym};
use object::{Endianness, ReadCache, ReadRef};
use serde::Deserialize;
use std::fs::File;
use std::path::Path;
use zoo_schema::{Build, Component};

/// Sizes that no sensible plugin reaches.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sections of the file.
    pub sections: u32,
    /// Bytes of build facts.
    pub build_facts: u64,
    /// Bytes of all schemas.
    pub schemas: u64,
    /// Components.
    pub components: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sections: 4096, build_facts: 64 << 10, schemas: 16 << 20, components: 10_000 }
    }
}

/// What a plugin file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The build facts, parsed.
    pub build: Build,
    /// The build facts as they stand in the file.
    pub build_json: String,
    /// The schemas, sorted by name.
    pub components: Vec<Component>,
    /// The schemas as they stand in the file, in the order of `components`.
    pub schemas_json: Vec<String>,
}

/// What a plugin file needs and gives, for `zoo plugin doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linkage {
    /// Libraries it needs (`NEEDED`).
    pub needed: Vec<String>,
    /// Folders it looks for them in (`RPATH` and `RUNPATH`).
    pub run_paths: Vec<String>,
    /// Symbols it defines for others.
    pub exported: Vec<String>,
}

/// Reads the file at `path`; see [`read_bytes`].
///
/// # Errors
/// Any [`Reason`] but those that need more than one file.
pub fn read_file(path: &Path, here: &Here, limits: &Limits) -> Result<Content, Reason> {
    let file = File::open(path).map_err(Reason::Unreadable)?;
    if !file.metadata().map_err(Reason::Unreadable)?.is_file() {
        return Err(Reason::NotElf("it is not a regular file"));
    }
    let cache = ReadCache::new(file);
    let content = read_bytes(&cache, here, limits)?;
    let expected = file_name(&content.build.name);
    if path.file_name().and_then(|n| n.to_str()) != Some(expected.as_str()) {
        return Err(Reason::FileName { plugin: content.build.name, expected });
    }
    Ok(content)
}

/// `libzoo_text.so` for `zoo-text`.
pub(crate) fn file_name(plugin: &str) -> String {
    format!("lib{}.so", plugin.replace('-', "_"))
}

type Header = elf::FileHeader64<Endianness>;
type Section = elf::SectionHeader64<Endianness>;

struct Elf<'data, R: ReadRef<'data>> {
    endian: Endianness,
    data: R,
    sections: &'data [Section],
    names: &'data [u8],
}

fn damaged(what: impl std::fmt::Display) -> Reason {
    Reason::Damaged(what.to_string())
}

/// The names of the machines that people have; the number for others.
fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86_64".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_RISCV => "riscv64".to_owned(),
        elf::EM_PPC64 => "powerpc64".to_owned(),
        elf::EM_S390 => "s390x".to_owned(),
        elf::EM_386 => "x86".to_owned(),
        elf::EM_ARM => "arm".to_owned(),
        other => format!("ELF machine {}", other.0),
    }
}

impl<'data, R: ReadRef<'data>> Elf<'data, R> {
    fn parse(data: R, limits: &Limits) -> Result<Self, Reason> {
        let ident = data.read_bytes_at(0, 16).map_err(|()| Reason::NotElf("it is shorter than a header"))?;
        if !ident.starts_with(b"\x7fELF") {
            return Err(Reason::NotElf("its first bytes are not those of one"));
        }
        if ident[4] != elf::ELFCLASS64.0 {
            return Err(Reason::WrongMachine { plugin: "not of 64 bits".to_owned(), here: arch() });
        }
        let header = Header::parse(data).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        let native = if cfg!(target_endian = "little") { Endianness::Little } else { Endianness::Big };
        let machine = machine_name(header.e_machine(endian));
        if endian != native || machine != arch() {
            return Err(Reason::WrongMachine { plugin: machine, here: arch() });
        }
        if header.e_type(endian) != elf::ET_DYN {
            return Err(Reason::NotElf("it is an ELF file of another type"));
        }
        let count = header.shnum(endian, data).map_err(damaged)?;
        if count > limits.sections {
            return Err(Reason::TooLarge {
                what: "the table of sections".to_owned(),
                size: u64::from(count) * 64,
                limit: u64::from(limits.sections) * 64,
            });
        }
        let sections = header.section_headers(endian, data).map_err(damaged)?;
        let index = header.shstrndx(endian, data).map_err(damaged)?;
        let names = sections
            .get(index as usize)
            .ok_or_else(|| damaged("the names of the sections are missing"))
            .and_then(|section| Self::bytes(endian, data, section, "the names of the sections", 1 << 20))?;
        Ok(Self { endian, data, sections, names })
    }

    fn bytes(
        endian: Endianness,
        data: R,
        section: &Section,
        what: &str,
        limit: u64,
    ) -> Result<&'data [u8], Reason> {
        if section.sh_type(endian) == elf::SHT_NOBITS {
            return Err(damaged(format_args!("{what} has no content")));
        }
        if section.sh_flags(endian).contains(elf::SHF_COMPRESSED) {
            return Err(damaged(format_args!("{what} is compressed")));
        }
        let size = section.sh_size(endian);
        if size > limit {
            return Err(Reason::TooLarge { what: what.to_owned(), size, limit });
        }
        data.read_bytes_at(section.sh_offset(endian), size)
            .map_err(|()| damaged(format_args!("{what} reaches past the end of the file")))
    }

    fn name(&self, section: &Section) -> &'data [u8] {
        let rest = self.names.get(section.sh_name(self.endian) as usize..).unwrap_or_default();
        rest.split(|b| *b == 0).next().unwrap_or_default()
    }

    /// The only section of that name; two of them would leave open which one is meant.
    fn section(&self, name: &str, limit: u64) -> Result<Option<&'data [u8]>, Reason> {
        let mut found = self.sections.iter().filter(|s| self.name(s) == name.as_bytes());
        let Some(section) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(damaged(format_args!("there are two sections `{name}`")));
        }
        Self::bytes(self.endian, self.data, section, &format!("the section `{name}`"), limit).map(Some)
    }
}

fn arch() -> String {
    std::env::consts::ARCH.to_owned()
}

/// Reads a plugin from bytes: an ELF file's build facts are compared with `here`, then the schemas
/// are parsed and held against the contracts of their kinds.
///
/// # Errors
/// A [`Reason`], never a panic; nothing larger than `limits` is allocated.
pub fn read_bytes<'data, R: ReadRef<'data>>(
    data: R,
    here: &Here,
    limits: &Limits,
) -> Result<Content, Reason> {
    let elf = Elf::parse(data, limits)?;
    let meta = elf.section(zoo_abi::META_SECTION, limits.build_facts)?.ok_or(Reason::NotAPlugin)?;
    let build_json = text(meta).map_err(Reason::BuildFacts)?.to_owned();
    let build: Build = serde_json::from_str(&build_json).map_err(|e| Reason::BuildFacts(e.to_string()))?;
    compare(&build, here)?;
    let frames = elf.section(zoo_abi::SCHEMA_SECTION, limits.schemas)?.unwrap_or_default();
    let mut schemas = Vec::new();
    for json in Frames(frames) {
        let number = schemas.len() + 1;
        if number > limits.components {
            return Err(Reason::TooLarge {
                what: "the number of components".to_owned(),
                size: number as u64,
                limit: limits.components as u64,
            });
        }
        schemas.push(component(number, json?)?);
    }
    schemas.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    if let Some(pair) = schemas.windows(2).find(|pair| pair[0].0.name == pair[1].0.name) {
        return Err(Reason::ComponentTwice(pair[0].0.name.clone()));
    }
    let (components, schemas_json) = schemas.into_iter().unzip();
    Ok(Content { build, build_json, components, schemas_json })
}

/// Only the build facts, where they can be read, for messages about a file that was refused.
pub(crate) fn build_facts<'data, R: ReadRef<'data>>(data: R, limits: &Limits) -> Option<Build> {
    let elf = Elf::parse(data, limits).ok()?;
    let meta = elf.section(zoo_abi::META_SECTION, limits.build_facts).ok()??;
    serde_json::from_str(text(meta).ok()?).ok()
}

/// JSON text without the zeros that may follow it.
fn text(bytes: &[u8]) -> Result<&str, String> {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    std::str::from_utf8(&bytes[..end]).map_err(|e| e.to_string())
}

fn component(number: usize, json: &[u8]) -> Result<(Component, String), Reason> {
    let wrong = |component: String, reason: String| Reason::Schema { component, reason };
    let numbered = || format!("component {number}");
    let json = std::str::from_utf8(json).map_err(|e| wrong(numbered(), e.to_string()))?;
    let component: Component = serde_json::from_str(json).map_err(|e| {
        /// Only the name, to say whose schema is wrong.
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let name =
            serde_json::from_str::<Named>(json).map(|named| format!("`{}`", named.name.escape_debug()));
        wrong(name.unwrap_or_else(|_| numbered()), e.to_string())
    })?;
    let named = format!("`{}`", component.name.escape_debug());
    let parts: Vec<&str> = component.name.split('.').collect();
    if parts.len() != 2 || !parts.iter().all(|part| zoo_schema::types::is_name(part)) {
        return Err(wrong(
            named,
            "a component's name is `namespace.name`, of letters, digits and `_`".to_owned(),
        ));
    }
    if let Some(violation) = zoo_schema::kinds::violations(&component).into_iter().next() {
        return Err(wrong(named, violation));
    }
    Ok((component, json.to_owned()))
}

/// A `.zoo_schema` frame of a schema: its length, its bytes, zeros up to a multiple of eight.
pub fn frame(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8], Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((length, rest)) = self.0.split_first_chunk::<4>() else {
                let ok = self.0.iter().all(|b| *b == 0);
                self.0 = &[];
                return if ok { None } else { Some(Err(damaged("the last schema is cut off"))) };
            };
            let length = u32::from_le_bytes(*length) as usize;
            if length == 0 {
                // Padding, which the linker may put between frames.
                self.0 = self.0.get(8..).unwrap_or_default();
                continue;
            }
            let Some(json) = rest.get(..length) else {
                self.0 = &[];
                return Some(Err(damaged("a schema reaches past the end of its section")));
            };
            self.0 = self.0.get((4 + length).next_multiple_of(8)..).unwrap_or_default();
            return Some(Ok(json));
        }
    }
}

fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split(['.', '+', '-']).map(str::parse::<u64>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Architecture, system and C library of a triple; the vendor means nothing.
fn essentials(triple: &str) -> (&str, &str, &str) {
    let mut parts = triple.split('-');
    let arch = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let at =
        |back: usize| rest.len().checked_sub(back).and_then(|i| rest.get(i)).copied().unwrap_or_default();
    (arch, at(2), at(1))
}

fn compare(build: &Build, here: &Here) -> Result<(), Reason> {
    let name_ok = build.name.strip_prefix("zoo-").is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    });
    if !name_ok {
        return Err(Reason::BuildFacts(format!(
            "the name `{}` is not `zoo-` followed by small letters, digits, `-` and `_`",
            build.name.escape_debug()
        )));
    }
    let both = |plugin: &str, here: &str| (plugin.to_owned(), here.to_owned());
    let (Some((major, minor)), Some((our_major, our_minor))) = (version(&build.abi), version(&here.abi))
    else {
        return Err(Reason::BuildFacts(format!(
            "the ABI `{}` is not `major.minor`",
            build.abi.escape_debug()
        )));
    };
    if major != our_major {
        let (plugin, here) = both(&build.abi, &here.abi);
        return Err(Reason::WrongAbi { plugin, here });
    }
    if minor > our_minor {
        let (plugin, here) = both(&build.abi, &here.abi);
        return Err(Reason::NewerAbi { plugin, here });
    }
    if essentials(&build.target) != essentials(&here.target) {
        let (plugin, here) = both(&build.target, &here.target);
        return Err(Reason::WrongTarget { plugin, here });
    }
    if build.panic != "unwind" {
        return Err(Reason::AbortOnPanic(build.panic.clone()));
    }
    if let (Some(plugin), Some(ours)) = (&build.libtorch, &here.libtorch)
        && version(plugin).is_none_or(|plugin| Some(plugin) != version(ours))
    {
        let (plugin, here) = both(plugin, ours);
        return Err(Reason::WrongLibtorch { plugin, here });
    }
    let entry = format!("{}{}", zoo_abi::ENTRY_PREFIX, build.name.replace('-', "_"));
    if build.entry != entry {
        return Err(Reason::BuildFacts(format!(
            "the entry symbol is `{}` and must be `{entry}`",
            build.entry.escape_debug()
        )));
    }
    Ok(())
}

/// What the file at `path` needs and gives.
///
/// # Errors
/// [`Reason`]s of a file that cannot be read or is damaged.
pub fn linkage(path: &Path) -> Result<Linkage, Reason> {
    let cache = ReadCache::new(File::open(path).map_err(Reason::Unreadable)?);
    let elf = Elf::parse(&cache, &Limits::default())?;
    let strings = elf.section(".dynstr", 64 << 20)?.unwrap_or_default();
    let string = |at: u64| {
        let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..)).unwrap_or_default();
        String::from_utf8_lossy(rest.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
    };
    let mut linkage = Linkage::default();
    let dynamic = elf.section(".dynamic", 1 << 20)?.unwrap_or_default();
    let (entries, _) = object::pod::slice_from_bytes::<elf::Dyn64<Endianness>>(
        dynamic,
        dynamic.len() / size_of::<elf::Dyn64<Endianness>>(),
    )
    .map_err(|()| damaged("the dynamic section cannot be read"))?;
    for entry in entries {
        let (tag, value) = (entry.d_tag(elf.endian), entry.d_val(elf.endian));
        match tag {
            elf::DT_NEEDED => linkage.needed.push(string(value)),
            elf::DT_RPATH | elf::DT_RUNPATH => linkage.run_paths.push(string(value)),
            _ => {}
        }
    }
    let symbols = elf.section(".dynsym", 64 << 20)?.unwrap_or_default();
    let (symbols, _) = object::pod::slice_from_bytes::<elf::Sym64<Endianness>>(
        symbols,
        symbols.len() / size_of::<elf::Sym64<Endianness>>(),
    )
    .map_err(|()| damaged("the symbols cannot be read"))?;
    for symbol in symbols {
        let visible = matches!(symbol.st_visibility(), elf::STV_DEFAULT | elf::STV_PROTECTED);
        if symbol.st_bind() != elf::STB_LOCAL && symbol.st_shndx(elf.endian) != elf::SHN_UNDEF && visible {
            linkage.exported.push(string(u64::from(symbol.st_name(elf.endian))));
        }
    }
    Ok(linkage)
}
