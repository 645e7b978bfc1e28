// The keeper's use of the control block: it takes the client's place between two leases.
#ifndef REVENANT_MACHINE_MAILBOX_H
#define REVENANT_MACHINE_MAILBOX_H

#include <cstdint>

namespace revenant {
struct Control;
enum class Command : uint32_t;
}  // namespace revenant

namespace revenant::machine {

class Mailbox {
 public:
  void attach(void* control_block) { control_ = static_cast<Control*>(control_block); }

  // Whether the service is idle.
  bool is_quiet() const;
  // The number of the client's unfinished command, or 0. Not of `run`, which takes as long as the program
  // does.
  uint32_t pending_command() const;
  // Of the last request: 0 or -errno. Precondition: is_quiet().
  int result() const;
  // Ends a running guest soon.
  void kick();
  // Requests the end of VM and vCPU. Precondition: is_quiet(), and no client.
  void request_destroy();
  // Requests a new VM and vCPU in advance for the next client. Precondition: as above.
  void request_create();
  // Clears the last client's values; the sequence numbers continue. Precondition: as above.
  void reset();

 private:
  void request(Command command);

  Control* control_ = nullptr;
};

}  // namespace revenant::machine

#endif
