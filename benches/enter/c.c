/* The calls of an entry by hand: what `enter` is measured against. Each returns 0. */
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
#include <sys/syscall.h>
#include <linux/capability.h>
#include <unistd.h>

static int enter_user_namespace(void) {
	return unshare(CLONE_NEWUSER);
}

/* As few as lead into an empty root. */
int fewest(const char *parent) {
	char name[256];
	snprintf(name, sizeof name, "%s/c-%d", parent, getpid());
	if (mkdir(name, 0555) || chdir(name) || rmdir(name)) return 1;
	if (chroot(".") && (errno != EPERM || enter_user_namespace() || chroot("."))) return 2;
	return chdir("/");
}

/* As HAProxy 3.5 does it: no maps, all capabilities of the user namespace kept, a failure of rmdir ignored. */
int haproxy(const char *parent) {
	char name[256];
	snprintf(name, sizeof name, "%s/haproxy.XXXXXX", parent);
	if (!mkdtemp(name) || chdir(name)) return 1;
	(void)!rmdir(name);
	if (chroot(".") && (errno != EPERM || enter_user_namespace() || chroot("."))) return 2;
	return chdir("/");
}

static int put(int proc, const char *file, const char *text) {
	int fd = openat(proc, file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) return 1;
	return close(fd);
}

/* Those that `enter` makes, in its order, and none besides. */
int same(const char *parent) {
	static char entries[1024];
	char name[32], map[32];
	struct stat status;
	unsigned long long drawn;
	uid_t uid = geteuid();
	long length;
	if (unshare(CLONE_THREAD)) return 1;
	int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while ((length = syscall(SYS_getdents64, list, entries, sizeof entries)) > 0)
		for (long at = 0; at < length;) {
			char *entry = entries + at;
			int fd = atoi(entry + 19);
			if (entry[19] != '.' && fd != list && (fstat(fd, &status) || S_ISDIR(status.st_mode))) return 2;
			at += *(unsigned short *)(entry + 16);
		}
	close(list);
	int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int in = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (in < 0 || fstat(in, &status) || getrandom(&drawn, sizeof drawn, GRND_INSECURE) != sizeof drawn) return 3;
	snprintf(name, sizeof name, "c-%016llx", drawn);
	if (mkdirat(in, name, 0555)) return 4;
	int dir = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &status) || status.st_uid != uid || unlinkat(in, name, AT_REMOVEDIR)) return 5;
	if (fstat(dir, &status) || status.st_nlink || !mkdirat(dir, name, 0555) || fchdir(dir)) return 6;
	int proc = -1;
	if (chroot(".")) {
		gid_t gid = getegid();
		proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (errno != EPERM || proc < 0 || enter_user_namespace()) return 7;
		snprintf(map, sizeof map, "%u %u 1", uid, uid);
		if (put(proc, "uid_map", map) || put(proc, "setgroups", "deny")) return 8;
		snprintf(map, sizeof map, "%u %u 1", gid, gid);
		if (put(proc, "gid_map", map) || chroot(".")) return 9;
	}
	if (chdir("/")) return 10;
	if (proc >= 0) {
		struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
		struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capset, &header, data)) return 11;
		if (fstatat(AT_FDCWD, "/", &status, 0) || syscall(SYS_capget, &header, data)) return 12;
		if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || geteuid() != uid || getegid() == (gid_t)-1) return 13;
		close(proc);
	} else if (fstatat(AT_FDCWD, "/", &status, 0)) {
		return 14;
	}
	return close(cwd) || close(in) || close(dir);
}
