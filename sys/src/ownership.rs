//! A process whose files belong to whom it runs as, whatever it is told. A program that runs as root changes owners and groups
//! because it can; in a container without capabilities it cannot, and gives up. Here those calls do nothing and say that they did
//! it, by a filter of system calls: for this process and all that it starts, for ever.

use rustix::io::Errno;

/// `struct seccomp_data`: where the call's number and the machine stand.
const AT_NUMBER: u32 = 0;
const AT_MACHINE: u32 = 4;

#[cfg(target_arch = "x86_64")]
const MACHINE: u32 = 0xc000_003e;
#[cfg(target_arch = "x86_64")]
const CALLS: [i64; 5] =
    [libc::SYS_setgroups, libc::SYS_chown, libc::SYS_lchown, libc::SYS_fchown, libc::SYS_fchownat];
#[cfg(target_arch = "aarch64")]
const MACHINE: u32 = 0xc000_00b7;
#[cfg(target_arch = "aarch64")]
const CALLS: [i64; 3] = [libc::SYS_setgroups, libc::SYS_fchown, libc::SYS_fchownat];

fn statement(code: u32, k: u32) -> libc::sock_filter {
    // The codes have 16 bits.
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt: 0, jf: 0, k }
}

/// Goes on `jt` statements further where the value is `k`, else `jf`.
fn compare(k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { jt, jf, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k) }
}

fn program() -> Vec<libc::sock_filter> {
    let load = |at| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let answer = |what| statement(libc::BPF_RET | libc::BPF_K, what);
    let count = u8::try_from(CALLS.len()).unwrap_or(0);
    let mut program = vec![load(AT_MACHINE), compare(MACHINE, 0, count + 1), load(AT_NUMBER)];
    for (left, call) in (0..count).rev().zip(CALLS) {
        // To the last statement; those of the other calls, and the one that allows, lie between.
        program.push(compare(u32::try_from(call).unwrap_or(u32::MAX), left + 1, 0));
    }
    // Without an error number: done.
    program.extend([answer(libc::SECCOMP_RET_ALLOW), answer(libc::SECCOMP_RET_ERRNO)]);
    program
}

/// From now on, in this thread and what it starts, owners stay what they are. It takes no capability; nothing that is run later can
/// gain any.
///
/// # Errors
/// `INVAL` from a kernel without filters of system calls.
#[allow(unsafe_code)]
pub fn keep() -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true)?;
    let mut program = program();
    let given = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel reads `len` statements behind `filter`, which live until the call is over, and keeps its own copy.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const given) };
    if result == 0 { Ok(()) } else { Err(crate::project::last_errno()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn owners_stay_and_nobody_is_told_that_they_do() {
        // In a thread of its own, which ends: the filter is for ever.
        std::thread::spawn(|| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("f");
            std::fs::write(&file, "x").unwrap();
            let before = file.metadata().unwrap();
            keep().unwrap();
            std::os::unix::fs::chown(&file, Some(12345), Some(12345)).unwrap();
            std::os::unix::fs::lchown(&file, Some(12345), None).unwrap();
            std::os::unix::fs::fchown(std::fs::File::open(&file).unwrap(), None, Some(12345)).unwrap();
            rustix::thread::set_thread_groups(&[]).unwrap();
            let after = file.metadata().unwrap();
            assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
            // All else goes on.
            std::fs::write(&file, "yz").unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), b"yz");
        })
        .join()
        .unwrap();
    }
}
