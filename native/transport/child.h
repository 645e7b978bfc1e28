// A process of ours. Apart from process_transport.cc, because <signal.h> and ring0/layout.h both name
// registers.
#ifndef REVENANT_TRANSPORT_CHILD_H_
#define REVENANT_TRANSPORT_CHILD_H_

#include <sys/types.h>

namespace revenant {

enum class Isolation { none, namespaces };

class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  // Starts a program without arguments and environment, in a session of its own, with two open descriptors:
  // `fd` as number `as`, and after it a pipe that has one byte as soon as the death of this thread is certain
  // to be the child's, and none if this process died before. With Isolation::namespaces it has its own of
  // users, processes, network, mounts, IPC and host name, none of which has anything in it. 0 or -errno.
  int start(const char* program, int fd, int as, Isolation isolation);

  pid_t pid() const { return pid_; }
  // Whether there is none, or it has ended.
  bool is_gone();
  // SIGUSR1.
  void interrupt();
  // Kills it, and waits until nothing is left of it.
  void end();

 private:
  pid_t pid_ = -1;
};

}  // namespace revenant

#endif
