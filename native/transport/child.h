// A process of ours. Apart from process_transport.cc, because <signal.h> and ring0/layout.h both name
// registers.
#ifndef REVENANT_TRANSPORT_CHILD_H_
#define REVENANT_TRANSPORT_CHILD_H_

#include <sys/types.h>

namespace revenant {

class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  // Starts a program without arguments and environment, with one open descriptor: `fd`, as number `as`. 0 or
  // -errno.
  int start(const char* program, int fd, int as);

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
