//! Removes what a server does not need: documentation, other locales, and what the profile names.

use crate::profile::Prune;
use crate::rootfs::error::AssembleError;
use crate::rootfs::finish::glob::Pattern;
use crate::rootfs::finish::tree_edit;
use crate::tree::{Kind, Tree, TreePath};

/// Removed whole by `documentation`; `/usr/share/doc` is apart, as copyright files stay.
const DOCUMENTATION: [&str; 7] = [
    "/usr/share/man",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/linda",
    "/usr/share/doc-base",
    "/usr/share/gtk-doc",
    "/usr/share/groff",
];
const DOC: &str = "/usr/share/doc";
const LOCALES: &str = "/usr/share/locale";

/// Prunes the tree; returns every path that went, in order.
pub fn prune(tree: &mut Tree, rules: &Prune) -> Result<Vec<TreePath>, AssembleError> {
    let patterns = rules
        .paths
        .iter()
        .map(|text| {
            Pattern::parse(text)
                .map_err(|problem| AssembleError::Pattern { pattern: text.clone(), problem: problem.to_owned() })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let doc = tree_edit::path(DOC)?;
    let locales = tree_edit::path(LOCALES)?;
    let whole = DOCUMENTATION.iter().map(|text| tree_edit::path(text)).collect::<Result<Vec<_>, _>>()?;
    let mut doomed = Vec::new();
    for (path, id) in tree.walk() {
        let folder = matches!(tree.node(id).kind, Kind::Directory(_));
        let documentation = rules.documentation
            && (whole.iter().any(|whole| below(whole, &path))
                || (below(&doc, &path)
                    && !folder
                    && path.name() != Some(b"copyright")
                    && !is_package_link(&doc, &path)));
        let locale = rules.keep_locales.as_ref().is_some_and(|keep| foreign(&locales, &path, keep));
        if documentation || locale || patterns.iter().any(|pattern| matches_any(pattern, &path)) {
            doomed.push(path);
        }
    }
    for path in &doomed {
        // Its directory was removed before it, or it was.
        let _ = tree.remove(path);
    }
    if rules.documentation {
        doomed.extend(empty_folders(tree, &doc));
        doomed.sort();
    }
    Ok(doomed)
}

fn below(folder: &TreePath, path: &TreePath) -> bool {
    let count = folder.names().count();
    path.names().count() > count && path.names().take(count).eq(folder.names())
}

/// `/usr/share/doc/PACKAGE` as a symlink to that of a sibling, which holds its copyright.
fn is_package_link(doc: &TreePath, path: &TreePath) -> bool {
    path.parent().as_ref() == Some(doc)
}

/// A pattern that matches a folder means all below it.
fn matches_any(pattern: &Pattern, path: &TreePath) -> bool {
    let names: Vec<&[u8]> = path.names().collect();
    (1..=names.len()).any(|count| pattern.matches(names[..count].iter().copied()))
}

/// Whether `path` belongs to a locale that is not kept: `de` keeps `de_AT` and `de@x` too.
fn foreign(locales: &TreePath, path: &TreePath, keep: &[String]) -> bool {
    if !below(locales, path) {
        return false;
    }
    let Some(name) = path.names().nth(locales.names().count()) else { return false };
    let name = String::from_utf8_lossy(name);
    if name == "locale.alias" {
        return false;
    }
    let language = name.split(['_', '@', '.']).next().unwrap_or_default();
    !keep.iter().any(|kept| *kept == name || kept == language || kept.split(['_', '@', '.']).next() == Some(&name))
}

/// Removes the folders below `folder` that hold nothing any more; returns them.
fn empty_folders(tree: &mut Tree, folder: &TreePath) -> Vec<TreePath> {
    let mut gone = Vec::new();
    let folders: Vec<TreePath> = tree
        .walk()
        .filter(|(path, id)| below(folder, path) && matches!(tree.node(*id).kind, Kind::Directory(_)))
        .map(|(path, _)| path)
        .collect();
    for path in folders.into_iter().rev() {
        if let Some(node) = tree.get(&path)
            && let Kind::Directory(entries) = &node.kind
            && entries.is_empty()
            && tree.remove(&path).is_ok()
        {
            gone.push(path);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Metadata, Node};

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new(Metadata::new(0o755));
        for path in paths {
            tree_edit::put_file(&mut tree, path, *b"x", 0o644, 0).unwrap();
        }
        tree
    }

    fn left(tree: &Tree) -> Vec<String> {
        tree.walk()
            .filter(|(_, id)| !matches!(tree.node(*id).kind, Kind::Directory(_)))
            .map(|(path, _)| path.to_string())
            .collect()
    }

    #[test]
    fn documentation_goes_and_copyright_stays() {
        let mut tree = tree(&[
            "/usr/share/doc/a/copyright",
            "/usr/share/doc/a/README",
            "/usr/share/doc/b/examples/x",
            "/usr/share/man/man1/a.1.gz",
            "/usr/share/mandatory",
        ]);
        tree.insert(&tree_edit::path("/usr/share/doc/c").unwrap(), Node::symlink("a", 0)).unwrap();
        let rules = Prune { documentation: true, ..Prune::default() };
        let gone: Vec<String> = prune(&mut tree, &rules).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(left(&tree), ["/usr/share/doc/a/copyright", "/usr/share/doc/c", "/usr/share/mandatory"]);
        let expected = [
            "/usr/share/doc/a/README",
            "/usr/share/doc/b",
            "/usr/share/doc/b/examples",
            "/usr/share/doc/b/examples/x",
            "/usr/share/man/man1",
            "/usr/share/man/man1/a.1.gz",
        ];
        assert_eq!(gone, expected);
        assert!(
            tree_edit::find(&tree, "/usr/share/man").is_some() && tree_edit::find(&tree, "/usr/share/doc/b").is_none()
        );
    }

    #[test]
    fn locales_are_kept_by_language() {
        let names = ["de", "de_AT", "de@x", "en_GB", "fr", "locale.alias"];
        let paths: Vec<String> = names.iter().map(|name| format!("/usr/share/locale/{name}")).collect();
        let mut tree = tree(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let rules = Prune { keep_locales: Some(vec!["de".into(), "en_US".into()]), ..Prune::default() };
        prune(&mut tree, &rules).unwrap();
        let expected: Vec<String> =
            ["de", "de@x", "de_AT", "locale.alias"].iter().map(|name| format!("/usr/share/locale/{name}")).collect();
        assert_eq!(left(&tree), expected);
    }

    #[test]
    fn patterns_take_folders_whole() {
        let mut tree = tree(&["/usr/games/a", "/usr/games/b/c", "/usr/bin/d"]);
        let rules = Prune { paths: vec!["/usr/ga*".into()], ..Prune::default() };
        assert_eq!(prune(&mut tree, &rules).unwrap().len(), 4);
        assert_eq!(left(&tree), ["/usr/bin/d"]);
        let rules = Prune { paths: vec!["usr".into()], ..Prune::default() };
        assert!(matches!(prune(&mut tree, &rules), Err(AssembleError::Pattern { .. })));
    }
}
