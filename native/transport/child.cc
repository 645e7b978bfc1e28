#include "child.h"

#include <cerrno>

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

namespace revenant {

int Child::start(const char* program, int fd, int as) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fd, as);
  char name[] = "revenant-sandbox";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {nullptr};
  const int error = posix_spawn(&pid_, program, &actions, nullptr, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) pid_ = -1;
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
