// QEMU as a child process: its start, its serial line, its end.
#ifndef REVENANT_MACHINE_EMULATOR_H
#define REVENANT_MACHINE_EMULATOR_H

#include <sys/types.h>
#include <string>

#include "keeper_options.h"

namespace revenant::machine {

// Owns the child and both ends of its serial line. The child is killed by the kernel when the thread
// that started it dies, so the keeper must stay single-threaded.
class Emulator {
 public:
  Emulator() = default;
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;
  ~Emulator() { kill_and_wait(); }

  // Returns 0 or a positive errno. `pool_fd` becomes the machine's memory.
  int start(const KeeperOptions& options, int pool_fd);

  pid_t pid() const { return pid_; }
  int serial_fd() const { return serial_out_; }

  // Reads available data of the serial line; false when the emulator closed it (it has exited or is exiting).
  bool drain_serial();
  // The last 8 KiB of the serial line and of QEMU's messages, without its routine warnings.
  std::string log() const;

  // The signal that ended the emulator, or 0. Precondition: drain_serial() returned false.
  int fatal_signal();

  // Seconds in which the emulator's most delayed thread was runnable without a processor, since its
  // start. 0 if the kernel does not report it.
  double starved_seconds() const;

  // One byte on the serial line ends the machine's sleep, and interrupts a program.
  void wake();
  // A descriptor that such bytes are written to; non-blocking.
  int line_fd() const { return serial_in_; }
  void kill_and_wait();

 private:
  pid_t pid_ = -1;
  int serial_in_ = -1;
  int serial_out_ = -1;
  std::string tail_;
};

}  // namespace revenant::machine

#endif
