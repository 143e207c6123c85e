/* The calls of an entry by hand: what `enter` is measured against. Each returns 0, or the number of its step. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <unistd.h>

/* glibc makes another call of it. */
static int look(int fd, struct stat *status) {
	return syscall(SYS_fstat, fd, status);
}

static int enter_user_namespace(void) {
	return unshare(CLONE_NEWUSER);
}

/* As few as lead into an empty root. */
int fewest(const char *parent, int without) {
	(void)without;
	char name[256];
	snprintf(name, sizeof name, "%s/c-%d", parent, getpid());
	if (mkdir(name, 0555) || chdir(name) || rmdir(name)) return 1;
	if (chroot(".") && (errno != EPERM || enter_user_namespace() || chroot("."))) return 2;
	return chdir("/");
}

/* As HAProxy 3.5 does it: no maps, all capabilities of the user namespace kept, a failure of rmdir ignored. */
int haproxy(const char *parent, int without) {
	(void)without;
	char name[256];
	snprintf(name, sizeof name, "%s/haproxy.XXXXXX", parent);
	if (!mkdtemp(name) || chdir(name)) return 1;
	(void)!rmdir(name);
	if (chroot(".") && (errno != EPERM || enter_user_namespace() || chroot("."))) return 2;
	return chdir("/");
}

static int put(int file, const char *text) {
	return write(file, text, strlen(text)) != (ssize_t)strlen(text);
}

/* What `same` can leave out. */
enum { THREADS = 1, DIRECTORIES = 2, CWD = 4, UNLINKED = 8, VERIFY = 16, MAPS = 32 };

/* Those that `enter` makes, in its order, and none besides; `without` some of them. */
int same(const char *parent, int without) {
	char name[17], map[32];
	struct statfs proc_status;
	struct stat status;
	unsigned long long drawn;
	uid_t real, uid, saved;
	if (getresuid(&real, &uid, &saved)) return 1;
	if (!(without & THREADS) && (unshare(CLONE_VM) || unshare(CLONE_FS | CLONE_FILES))) return 1;
	if (!(without & DIRECTORIES)) {
		if (statfs("/proc/self/fd", &proc_status) || proc_status.f_type != PROC_SUPER_MAGIC) return 2;
		if (stat("/proc/self/fd", &status)) return 2;
		long counted = status.st_size;
		for (long more = counted, fd = 0; more > 0; fd++)
			if (!look(fd, &status)) {
				if (S_ISDIR(status.st_mode)) return 2;
				more--;
			}
		if (stat("/proc/self/fd", &status) || status.st_size != counted) return 2;
	}
	int cwd = without & CWD ? -1 : open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int in = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (in < 0 || look(in, &status) || getrandom(&drawn, sizeof drawn, GRND_INSECURE) != sizeof drawn) return 3;
	for (int n = 0; n < 16; n++)
		name[n] = 'a' + (drawn >> 4 * n & 15);
	name[16] = 0;
	if (mkdirat(in, name, 0555)) return 4;
	int dir = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || look(dir, &status) || status.st_uid != uid || unlinkat(in, name, AT_REMOVEDIR)) return 5;
	if (!(without & UNLINKED) && (look(dir, &status) || status.st_nlink || !mkdirat(dir, name, 0555))) return 6;
	if (fchdir(dir)) return 6;
	int proc = -1, in_user_namespace = 0, maps[3] = {-1, -1, -1};
	if (chroot(".")) {
		gid_t gid = getegid();
		if (errno != EPERM) return 7;
		if (!(without & MAPS)) {
			struct statfs proc_status;
			if ((proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 || fstatfs(proc, &proc_status)) return 7;
			if (proc_status.f_flags & ST_RDONLY) return 7;
		}
		if (enter_user_namespace()) return 7;
		in_user_namespace = 1;
		if (!(without & MAPS)) {
			static const char *const files[] = {"uid_map", "setgroups", "gid_map"};
			for (int n = 0; n < 3; n++)
				if ((maps[n] = openat(proc, files[n], O_WRONLY | O_CLOEXEC)) < 0) return 8;
			snprintf(map, sizeof map, "%u %u 1", uid, uid);
			if (put(maps[0], map) || put(maps[1], "deny")) return 8;
			snprintf(map, sizeof map, "%u %u 1", gid, gid);
			if (put(maps[2], map)) return 9;
		}
		if (chroot(".")) return 9;
	}
	if (chdir("/")) return 10;
	if (in_user_namespace) {
		struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
		struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capset, &header, data)) return 11;
		if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0) return 11;
		if (!(without & VERIFY)) {
			if (fstatat(AT_FDCWD, "/", &status, 0) || syscall(SYS_capget, &header, data)) return 12;
			if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || geteuid() == (uid_t)-1 || getegid() == (gid_t)-1) return 13;
		}
	} else if (!(without & VERIFY) && fstatat(AT_FDCWD, "/", &status, 0)) {
		return 14;
	}
	for (int n = 0; n < 3; n++)
		if (maps[n] >= 0 && close(maps[n])) return 15;
	return (cwd >= 0 && close(cwd)) || close(in) || close(dir) || (proc >= 0 && close(proc));
}
