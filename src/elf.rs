//! The number of this processor in ELF files, `e_machine` in `elf(5)`. Not part of the API.

/// The number, `EM_` in `linux/elf-em.h`.
pub const EM_CURRENT: Option<u32> = match () {
    () if cfg!(target_arch = "x86_64") => Some(62),
    () if cfg!(target_arch = "x86") => Some(3),
    () if cfg!(target_arch = "aarch64") => Some(183),
    () if cfg!(target_arch = "arm") => Some(40),
    () if cfg!(any(target_arch = "riscv32", target_arch = "riscv64")) => Some(243),
    () if cfg!(any(target_arch = "mips", target_arch = "mips32r6")) => Some(8),
    () if cfg!(any(target_arch = "mips64", target_arch = "mips64r6")) => Some(8),
    () if cfg!(target_arch = "powerpc") => Some(20),
    () if cfg!(target_arch = "powerpc64") => Some(21),
    () if cfg!(target_arch = "s390x") => Some(22),
    () if cfg!(target_arch = "loongarch64") => Some(258),
    () if cfg!(target_arch = "sparc64") => Some(43),
    () => None,
};
