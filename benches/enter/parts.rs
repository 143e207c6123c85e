//! What a sealed entry is made of.

use autochroot::Jail;

use crate::entries::name;
use crate::fork::{User, time};
use crate::table::{group, row};

type Part<'p> = &'p dyn Fn() -> Result<(), String>;

/// Measures the parts of an entry and a seal, each in a fork of its own, as a share of the whole.
pub fn parts(user: User) {
    let whole = || Jail::auto().enter().and_then(|jailed| jailed.seal().map(drop)).map_err(|error| error.to_string());
    let enter = || Jail::auto().enter().map(drop).map_err(|error| error.to_string());
    let each_capability = |call: libc::c_int| {
        // SAFETY: the call takes numbers.
        (0..41).for_each(|one: libc::c_ulong| unsafe { _ = libc::prctl(call, one, 0, 0, 0) });
        Ok(())
    };
    let landlock = || {
        let attributes = [0x1fff_u64, 0, 0];
        // SAFETY: the structure has at least this size.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let ruleset = libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), 8, 0);
            libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0);
        }
        Ok(())
    };
    let any_filter = || {
        let mut code = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];
        let program = libc::sock_fprog { len: 1, filter: code.as_mut_ptr() };
        // SAFETY: the program is valid for the call.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::syscall(libc::SYS_seccomp, 1, 4, &raw const program);
        }
        Ok(())
    };
    let parts: [(&str, Part<'_>); 6] = [
        ("`enter` and `seal`", &whole),
        ("`enter`", &enter),
        ("41 `PR_CAPBSET_DROP`", &|| each_capability(libc::PR_CAPBSET_DROP)),
        ("41 `PR_CAPBSET_READ`", &|| each_capability(libc::PR_CAPBSET_READ)),
        ("a Landlock ruleset, enforced", &landlock),
        ("a seccomp filter of one instruction", &any_filter),
    ];
    let rows: Vec<_> = parts.iter().map(|(name, part)| row(*name, 0, move || time(user, || (), *part))).collect();
    group(&format!("what a sealed entry is made of, {}", name(user)), 300, &rows);
}
