// inject runs a command whose Nth system call of a kind fails, by the kernel's seccomp
// notifications: a preloaded library would not do, for Go does not call through libc.
// usage: inject KIND NTH ERRNO COUNT_FILE COMMAND…
// KIND is write, sync, rename, open or mkdir; of files, not of pipes or the standard streams,
// and of paths below the folder that it begins in. NTH 0 fails none; how many there were is
// written to COUNT_FILE. Exit code: the command's, or 125 where the kernel has no such means.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct { const char *kind; int call, fd; } calls[] = { // fd: the argument that is one, or -1 - that of a path
	{"write", SYS_write, 0}, {"write", SYS_pwrite64, 0}, {"write", SYS_writev, 0}, {"write", SYS_copy_file_range, 2},
	{"sync", SYS_fsync, 0}, {"sync", SYS_fdatasync, 0}, {"rename", SYS_renameat, -4}, {"rename", SYS_renameat2, -4},
	{"open", SYS_openat, -2}, {"mkdir", SYS_mkdirat, -2},
};
enum { ncalls = sizeof calls / sizeof *calls };

static char here[4096];

// counts tells whether the call is about a file of ours.
static int counts(const struct seccomp_notif *n) {
	char at[64], path[4096] = "";
	struct stat st;
	int i = 0;
	while (i < ncalls && calls[i].call != n->data.nr) i++;
	if (i == ncalls) return 0;
	if (calls[i].fd >= 0) {
		int fd = n->data.args[calls[i].fd];
		snprintf(at, sizeof at, "/proc/%d/fd/%d", n->pid, fd);
		return fd > 2 && stat(at, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
	}
	snprintf(at, sizeof at, "/proc/%d/mem", n->pid);
	int mem = open(at, O_RDONLY);
	if (mem < 0) return 0;
	ssize_t got = pread(mem, path, sizeof path - 1, n->data.args[-1 - calls[i].fd]);
	close(mem);
	return got > 0 && (path[0] != '/' || strncmp(path, here, strlen(here)) == 0);
}

static int install(const char *kind) {
	struct sock_filter code[2 * ncalls + 2];
	unsigned short n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < ncalls; i++)
		if (strcmp(calls[i].kind, kind) == 0) {
			code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].call, 0, 1);
			code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
		}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {n, code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

// pass sends a file descriptor, or receives one where fd is -1.
static int pass(int socket, int fd) {
	char byte = 0, room[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	if (fd < 0) {
		if (recvmsg(socket, &m, 0) != 1 || !CMSG_FIRSTHDR(&m)) return -1;
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
		return fd;
	}
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	return sendmsg(socket, &m, 0);
}

int main(int argc, char **argv) {
	int pair[2], status;
	if (argc < 6 || !getcwd(here, sizeof here) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 125;
	long nth = atol(argv[2]), count = 0;
	pid_t child = fork();
	if (child == 0) {
		int listener = install(argv[1]);
		if (listener < 0 || pass(pair[1], listener) < 0) _exit(125);
		close(listener), close(pair[0]), close(pair[1]);
		execvp(argv[5], argv + 5);
		_exit(127);
	}
	close(pair[1]);
	int listener = pass(pair[0], -1);
	struct pollfd p = {listener, POLLIN, 0};
	while (listener >= 0 && (poll(&p, 1, -1) > 0 || errno == EINTR)) {
		struct seccomp_notif n = {0};
		if (p.revents & POLLHUP) break; // all have ended
		if (!(p.revents & POLLIN) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n)) continue;
		struct seccomp_notif_resp answer = {.id = n.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
		int counted = counts(&n);
		if (counted && ++count == nth) answer.flags = 0, answer.error = -atoi(argv[3]);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) && counted) count--; // a signal was first: it comes again
	}
	if (waitpid(child, &status, 0) != child) return 125;
	FILE *f = fopen(argv[4], "w");
	if (!f || fprintf(f, "%ld\n", count) < 0 || fclose(f)) return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
