//! Finds the control group's folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::Unavailable;

/// Opens the folder that is named, or the root of the first mount of version 2.
pub(crate) fn open(named: Option<&Path>) -> Result<(PathBuf, File), Unavailable> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => {
            let mounts = fs::read_to_string("/proc/self/mounts");
            let mounts = mounts.map_err(|why| Unavailable::NoCgroup(why.to_string()))?;
            let found = mounted(&mounts);
            found.ok_or_else(|| Unavailable::NoCgroup("none is mounted".to_owned()))?
        }
    };
    match File::open(&path) {
        Ok(folder) => Ok((path, folder)),
        Err(why) => Err(Unavailable::NoCgroup(format!("{}: {why}", path.display()))),
    }
}

/// Where it is mounted: the second word of a line of fstab(5) whose third is the type.
fn mounted(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_version_2_is_found() {
        let both = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\n";
        assert_eq!(mounted(both), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mounted("tmpfs /sys/fs/cgroup tmpfs rw 0 0\nshort\n"), None);
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_reason() {
        let why = open(Some(Path::new("/nowhere/at/all"))).expect_err("not there").to_string();
        assert!(why.contains("/nowhere/at/all"), "{why}");
    }
}
