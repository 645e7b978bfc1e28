#include "child.h"

#include <cerrno>
#include <memory>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kvm/scoped.h"

namespace revenant {
namespace {

constexpr std::size_t kStackBytes = 64 << 10;
constexpr int kNamespaces =
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;

// Between clone() and execve(): memory is the parent's, whose thread waits.
struct Beginning {
  int program, fd, as, alive;
  Isolation isolation;
  int error;
};

// An empty root folder that cannot be written. Where the kernel grants the namespace but not this, what the
// namespace has is a copy of the host's mounts.
void leave_files() {
  constexpr unsigned long kFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return;
  if (mount("none", "/proc", "tmpfs", kFlags, "size=4k,mode=555") < 0) return;
  if (chdir("/proc") < 0 || chroot(".") < 0) return;
}

int begin(void* data) {
  auto& beginning = *static_cast<Beginning*>(data);
  char name[] = "revenant-sandbox";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {nullptr};
  // Out of the way of the numbers they get.
  const int fd = fcntl(beginning.fd, F_DUPFD_CLOEXEC, beginning.as + 2);
  const int alive = fcntl(beginning.alive, F_DUPFD_CLOEXEC, beginning.as + 2);
  const int program = fcntl(beginning.program, F_DUPFD_CLOEXEC, beginning.as + 2);
  if (fd >= 0 && alive >= 0 && program >= 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && setsid() >= 0 &&
      dup2(fd, beginning.as) >= 0 && dup2(alive, beginning.as + 1) >= 0) {
    if (beginning.isolation == Isolation::namespaces) leave_files();
    syscall(SYS_execveat, program, "", arguments, environment, AT_EMPTY_PATH);
  }
  beginning.error = errno;
  _exit(127);
}

}  // namespace

int Child::start(const char* path, int fd, int as, Isolation isolation) {
  const ScopedFd program(open(path, O_PATH | O_CLOEXEC));
  int ends[2];
  if (!program || pipe2(ends, O_CLOEXEC) < 0) return -errno;
  ScopedFd alive(ends[0]), tell(ends[1]);
  Beginning beginning = {program.get(), fd, as, alive.get(), isolation, 0};
  const std::unique_ptr<char[]> stack(new char[kStackBytes]);
  // No handler of this process may run in the child. It lets signals through once it has its own handlers.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const int flags = CLONE_VM | CLONE_VFORK | SIGCHLD | (isolation == Isolation::namespaces ? kNamespaces : 0);
  pid_ = clone(begin, stack.get() + kStackBytes, flags, &beginning);
  int error = pid_ < 0 ? errno : beginning.error;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // Who may not signal it cannot interrupt it (signal 0 is a question). It waits for a byte until it gets one
  // or the pipe is closed, and then ends by itself.
  if (error == 0 && kill(pid_, 0) < 0) error = errno;
  if (error == 0 && write(tell.get(), "", 1) != 1) error = errno;
  tell.reset();
  if (error != 0) end();
  return -error;
}

bool Child::is_gone() {
  if (pid_ < 0) return true;
  if (waitpid(pid_, nullptr, WNOHANG) == 0) return false;
  pid_ = -1;
  return true;
}

void Child::interrupt() {
  if (pid_ >= 0) kill(pid_, SIGUSR1);
}

void Child::end() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

}  // namespace revenant
