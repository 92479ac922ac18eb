//! Preloaded into `linux.uml`: replaces the C library's `ptrace`, and what reads and writes the images of disks ([`disk`]).
//!
//! User-mode Linux 6.1 writes a guest process's extended registers with an area of a size it fixed long ago. A host
//! kernel whose CPU has larger state (AMX) refuses a short area with EFAULT and the guest panics. Here such a request
//! is repeated with a zero-filled area of the size the CPU states; what the guest does not know about is then in its
//! initial state, which is right. Where the sizes agree nothing changes. All else goes to the kernel as it came.

pub mod disk;

use core::cell::UnsafeCell;
use libc::{c_int, c_long, c_void, iovec, pid_t};

/// `NT_X86_XSTATE`: the extended registers, by its number in the ELF note namespace.
const NT_X86_XSTATE: usize = 0x202;

/// Larger than any CPU's area (AMX: 11,008 bytes).
const AREA_BYTES_MAX: usize = 16 * 1024;

/// The full-size area, aligned as the kernel's own is. Static: the caller runs on a kernel stack of the guest, which is
/// no larger than this, and must not allocate.
#[repr(align(64))]
struct Area(UnsafeCell<[u8; AREA_BYTES_MAX]>);

// SAFETY: a user-mode kernel has one CPU: all its ptrace calls come from one host thread, none from a signal handler.
unsafe impl Sync for Area {}

static AREA: Area = Area(UnsafeCell::new([0; AREA_BYTES_MAX]));

/// The size of the extended registers under the features this system has switched on, in bytes.
fn area_bytes() -> usize {
    // Leaf 0xD, sub-leaf 0: EBX is the size for the enabled features.
    core::arch::x86_64::__cpuid_count(0xd, 0).ebx as usize
}

/// The C library's variadic `ptrace`, with the three arguments every caller passes.
///
/// # Safety
/// As ptrace(2): `addr` and `data` must be what `request` asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptrace(request: c_int, pid: pid_t, addr: *mut c_void, data: *mut c_void) -> c_long {
    match request as u32 {
        // The system call returns these through a pointer, the C function as its value.
        libc::PTRACE_PEEKTEXT | libc::PTRACE_PEEKDATA | libc::PTRACE_PEEKUSER => {
            let mut word: c_long = 0;
            // SAFETY: the kernel writes one word to a local that lives across the call.
            let result = unsafe { raw(request, pid, addr, (&raw mut word).cast()) };
            if result < 0 {
                return result;
            }
            // SAFETY: the thread's errno always exists. The result may be -1, so errno says whether it failed.
            unsafe { *libc::__errno_location() = 0 };
            word
        }
        // SAFETY: the caller passes an iovec for this request, as ptrace(2) demands.
        libc::PTRACE_SETREGSET if addr as usize == NT_X86_XSTATE => unsafe { set_extended(pid, addr, data) },
        // SAFETY: passed through as it came.
        _ => unsafe { raw(request, pid, addr, data) },
    }
}

/// Sets the extended registers, filled up to the size that the CPU states.
///
/// # Safety
/// `data` points to an iovec that describes readable memory.
unsafe fn set_extended(pid: pid_t, addr: *mut c_void, data: *mut c_void) -> c_long {
    let request = libc::PTRACE_SETREGSET as c_int;
    // SAFETY: by this function's contract.
    let given = unsafe { data.cast::<iovec>().read() };
    let wanted = area_bytes();
    if given.iov_len >= wanted || wanted > AREA_BYTES_MAX {
        // SAFETY: passed through as it came.
        return unsafe { raw(request, pid, addr, data) };
    }
    let area = AREA.0.get().cast::<u8>();
    // SAFETY: nobody else uses the area, see `Area`; `iov_len` is below `wanted`, which fits into it; the caller's
    // memory is not the area.
    unsafe {
        area.copy_from_nonoverlapping(given.iov_base.cast(), given.iov_len);
        area.add(given.iov_len).write_bytes(0, wanted - given.iov_len);
    }
    let mut full = iovec { iov_base: area.cast(), iov_len: wanted };
    // SAFETY: the iovec describes the area, which is static.
    unsafe { raw(request, pid, addr, (&raw mut full).cast()) }
}

/// The system call; sets errno as the C library does.
///
/// # Safety
/// As ptrace(2).
unsafe fn raw(request: c_int, pid: pid_t, addr: *mut c_void, data: *mut c_void) -> c_long {
    // SAFETY: by this function's contract.
    unsafe { libc::syscall(libc::SYS_ptrace, request as c_long, pid as c_long, addr, data) }
}
