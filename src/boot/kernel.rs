//! Finding kernel and hypervisor in a tree.

use crate::profile::Boot;
use crate::tree::{Content, Kind, Tree, TreePath};
use std::cmp::Ordering;

/// What a tree has to boot.
#[derive(Debug, Clone)]
pub struct Kernels {
    /// The kernel, which is dom0's under Xen.
    pub kernel: Image,
    /// The kernel's version, which names its folder of modules; `None` where it has none.
    pub version: Option<String>,
    /// The newest Xen, where there is one.
    pub xen: Option<Image>,
}

/// A boot file of the tree.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its path, symlinks resolved.
    pub path: TreePath,
    /// Its bytes.
    pub content: Content,
}

/// Why there is no kernel to boot.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The image has none at the usual place.
    #[error(
        "looking for a kernel: found no /boot/vmlinuz-* in the image; add a linux-image package, or set boot.kernel"
    )]
    None,
    /// The profile's kernel is not there.
    #[error("boot.kernel names {path}, which the image does not hold as a file")]
    Missing {
        /// As the profile has it.
        path: String,
    },
    /// The profile's kernel is no path.
    #[error("boot.kernel names {path}")]
    Path {
        /// As the profile has it.
        path: String,
        /// What is wrong with it.
        source: crate::tree::PathError,
    },
    /// depmod's list of the kernel's modules is missing.
    #[error(
        "the kernel {path} has no modules: expected /usr/lib/modules/{version}/modules.dep in the image; is depmod run?"
    )]
    Modules {
        /// The kernel's path.
        path: String,
        /// The kernel's version, by its file's name.
        version: String,
    },
}

/// Symlinks followed before a path counts as a loop; Linux stops at 40 too.
const LINKS: usize = 40;

impl Kernels {
    /// The kernel that `boot` names, or the newest, and the newest Xen.
    pub fn find(tree: &Tree, boot: &Boot) -> Result<Self, KernelError> {
        let kernel = match &boot.kernel {
            Some(path) => named(tree, path)?,
            None => newest(tree, "vmlinuz-", "").ok_or(KernelError::None)?,
        };
        let version = kernel
            .path
            .name()
            .and_then(|name| std::str::from_utf8(name).ok())
            .and_then(|name| name.strip_prefix("vmlinuz-"))
            .map(str::to_owned);
        Ok(Self { kernel, version, xen: newest(tree, "xen-", ".gz") })
    }
}

fn named(tree: &Tree, text: &str) -> Result<Image, KernelError> {
    let path = TreePath::parse(text).map_err(|source| KernelError::Path { path: text.to_owned(), source })?;
    follow(tree, path).ok_or_else(|| KernelError::Missing { path: text.to_owned() })
}

/// The file at `path`, through symlinks as the running image would see them.
fn follow(tree: &Tree, mut path: TreePath) -> Option<Image> {
    for _ in 0..LINKS {
        match &tree.get(&path)?.kind {
            Kind::File(content) => return Some(Image { content: content.clone(), path }),
            Kind::Symlink(target) if target.starts_with(b"/") => path = TreePath::parse(target).ok()?,
            Kind::Symlink(target) => {
                let folder = path.parent()?;
                path = TreePath::parse([folder.to_bytes(), b"/".to_vec(), target.clone()].concat()).ok()?;
            }
            _ => return None,
        }
    }
    None
}

fn newest(tree: &Tree, prefix: &str, suffix: &str) -> Option<Image> {
    let boot = TreePath::parse("/boot").ok()?;
    let Kind::Directory(entries) = &tree.get(&boot)?.kind else { return None };
    entries
        .iter()
        .filter_map(|(name, id)| {
            let text = std::str::from_utf8(name).ok()?;
            let version = text.strip_prefix(prefix)?.strip_suffix(suffix)?;
            let Kind::File(content) = &tree.node(*id).kind else { return None };
            Some((version, Image { path: boot.join(name).ok()?, content: content.clone() }))
        })
        .max_by(|left, right| natural(left.0, right.0))
        .map(|(_, image)| image)
}

/// Orders runs of digits by their value and the rest by bytes.
fn natural(left: &str, right: &str) -> Ordering {
    let mut left = left.as_bytes();
    let mut right = right.as_bytes();
    loop {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match (digits(left), digits(right)) {
            (0, _) | (_, 0) => match (left.split_first(), right.split_first()) {
                (Some((a, more)), Some((b, rest))) if a == b => (left, right) = (more, rest),
                (a, b) => return a.map(|a| a.0).cmp(&b.map(|b| b.0)),
            },
            (a, b) => {
                let number = |text: &[u8], count: usize| {
                    let zeros = text[..count].iter().take_while(|byte| **byte == b'0').count();
                    text[zeros..count].to_vec()
                };
                let (x, y) = (number(left, a), number(right, b));
                let order = x.len().cmp(&y.len()).then(x.cmp(&y));
                if order != Ordering::Equal {
                    return order;
                }
                (left, right) = (&left[a..], &right[b..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{OnMissing, Protocol};
    use crate::tree::{Metadata, Node};
    use appliance_contract::causes::WithCauses as _;

    fn tree(files: &[&str]) -> Tree {
        let mut tree = Tree::new(Metadata::new(0o755));
        for file in files {
            let node = Node::file(Metadata::new(0o644), file.as_bytes().to_vec().into());
            tree.insert(&TreePath::parse(file).unwrap(), node).unwrap();
        }
        tree
    }

    fn boot(kernel: Option<&str>) -> Boot {
        Boot {
            hypervisors: Vec::new(),
            kernel: kernel.map(str::to_owned),
            protocol: Protocol::Linux,
            kernel_arguments: Vec::new(),
            xen_arguments: Vec::new(),
            consoles: Vec::new(),
            on_missing: OnMissing::Shell,
            menu_timeout: 5,
            secure_boot: false,
        }
    }

    #[test]
    fn takes_the_newest_kernel_by_number() {
        let tree = tree(&["/boot/vmlinuz-6.9.1-amd64", "/boot/vmlinuz-6.12.1-amd64", "/boot/xen-4.20-amd64.gz"]);
        let found = Kernels::find(&tree, &boot(None)).unwrap();
        assert_eq!(found.version.as_deref(), Some("6.12.1-amd64"));
        assert_eq!(found.xen.unwrap().path.to_string(), "/boot/xen-4.20-amd64.gz");
    }

    #[test]
    fn takes_the_kernel_that_the_profile_names_through_links() {
        let mut tree = tree(&["/netbsd.gz"]);
        tree.insert(&TreePath::parse("/boot/kernel").unwrap(), Node::symlink("/netbsd.gz", 0)).unwrap();
        let found = Kernels::find(&tree, &boot(Some("/boot/kernel"))).unwrap();
        assert_eq!((found.kernel.path.to_string().as_str(), found.version), ("/netbsd.gz", None));
    }

    #[test]
    fn says_what_is_missing() {
        assert!(matches!(Kernels::find(&tree(&["/etc/passwd"]), &boot(None)), Err(KernelError::None)));
        let error = Kernels::find(&tree(&["/etc/passwd"]), &boot(Some("/netbsd"))).unwrap_err();
        assert!(error.with_causes().starts_with("boot.kernel names /netbsd, "), "{error}");
        let mut looping = tree(&[]);
        looping.insert(&TreePath::parse("/a").unwrap(), Node::symlink("/a", 0)).unwrap();
        assert!(Kernels::find(&looping, &boot(Some("/a"))).is_err());
    }

    #[test]
    fn versions_are_in_natural_order() {
        for (less, more) in [("6.9", "6.12"), ("6.12", "6.12.1"), ("6.12.1-a", "6.12.1-b"), ("007", "8"), ("", "1")] {
            assert_eq!(natural(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(natural(more, less), Ordering::Greater, "{less} {more}");
        }
    }
}
