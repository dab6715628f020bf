//! What a written path means: the module that defines the item, behind every import and re-export
//! on the way.

use crate::imports::Import;
use crate::source_tree::{ModuleId, Tree};
use crate::syntax::Written;

/// What a path leads to. A name may mean several things, such as a module and a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// An item of ours, or what belongs to one, such as a method or a variant.
    Item { module: ModuleId, name: String },
    /// A module of ours.
    Module(ModuleId),
    /// Something of another crate, by its full path.
    External(Vec<String>),
    /// A path into our modules that names nothing there.
    Unknown(String),
}

/// The lookups under way: a name that is imported from itself, as in `use judge::judge`, is not
/// followed again.
type Trail = Vec<(ModuleId, String)>;

impl Tree {
    /// What a path means where it is written.
    pub(crate) fn resolve(&self, module: ModuleId, path: &Written) -> Vec<Target> {
        self.follow(module, path, &mut Trail::new())
    }

    fn follow(&self, module: ModuleId, path: &Written, trail: &mut Trail) -> Vec<Target> {
        let Some((first, mut rest)) = path.segments.split_first() else { return Vec::new() };
        let mut found = match first.as_str() {
            "Self" => return Vec::new(),
            "crate" => vec![Target::Module(self.crates[self.modules[module].crate_id].root)],
            "self" => vec![Target::Module(module)],
            "super" => {
                let mut at = self.modules[module].parent;
                while let Some((_, further)) =
                    rest.split_first().filter(|(segment, _)| *segment == "super")
                {
                    at = at.and_then(|m| self.modules[m].parent);
                    rest = further;
                }
                at.map(Target::Module).into_iter().collect()
            }
            name => {
                let known =
                    if path.absolute { Vec::new() } else { self.look_up(module, name, trail) };
                if known.is_empty() { vec![self.other_crate(name)] } else { known }
            }
        };
        for segment in rest {
            found =
                found.into_iter().flat_map(|target| self.step(target, segment, trail)).collect();
            found.sort();
            found.dedup();
            // `judge::judge` is the function in the module; the function of that name leads
            // nowhere.
            if found.iter().any(|t| !matches!(t, Target::Unknown(_))) {
                found.retain(|t| !matches!(t, Target::Unknown(_)));
            }
        }
        found
    }

    fn step(&self, target: Target, segment: &str, trail: &mut Trail) -> Vec<Target> {
        match target {
            Target::Module(module) => {
                let found = self.look_up(module, segment, trail);
                if found.is_empty() && trail.is_empty() {
                    return vec![Target::Unknown(segment.to_owned())];
                }
                found
            }
            Target::External(mut path) => {
                path.push(segment.to_owned());
                vec![Target::External(path)]
            }
            // What belongs to an item is where the item is, as far as names tell.
            item => vec![item],
        }
    }

    fn other_crate(&self, name: &str) -> Target {
        let ours = self.crates.iter().find(|c| c.name.as_deref() == Some(name));
        ours.map_or_else(|| Target::External(vec![name.to_owned()]), |c| Target::Module(c.root))
    }

    /// What a name means in a module: what it defines, its modules, what it imports by name, and
    /// last what its globs bring.
    fn look_up(&self, module: ModuleId, name: &str, trail: &mut Trail) -> Vec<Target> {
        let here = &self.modules[module];
        let mut found: Vec<Target> =
            here.children.get(name).map(|child| Target::Module(*child)).into_iter().collect();
        if here.contents.defined.contains(name) {
            found.push(Target::Item { module, name: name.to_owned() });
        }
        let step = (module, name.to_owned());
        if trail.contains(&step) {
            return found;
        }
        trail.push(step);
        for import in here.contents.imports.iter().filter(|i| i.name.as_deref() == Some(name)) {
            found.extend(self.follow(module, &import.path, trail));
        }
        if found.is_empty() {
            for glob in here.contents.imports.iter().filter(|i| i.name.is_none()) {
                found.extend(self.look_up_in_glob(module, glob, trail));
            }
        }
        trail.pop();
        found
    }

    fn look_up_in_glob(&self, module: ModuleId, glob: &Import, trail: &mut Trail) -> Vec<Target> {
        let Some((_, name)) = trail.last().cloned() else { return Vec::new() };
        let modules = self.follow(module, &glob.path, trail);
        modules
            .into_iter()
            .filter_map(
                |target| if let Target::Module(module) = target { Some(module) } else { None },
            )
            .flat_map(|inside| self.look_up(inside, &name, trail))
            .collect()
    }
}
