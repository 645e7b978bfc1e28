// Executes in software what the processor lacks: the program left with #UD, its registers are in the context
// page, its vector state in the XSAVE area.
//
// Components of extended state that the processor lacks lie in the XSAVE area, too, behind what XSAVE stores.
// There they are always valid, whatever XSTATE_BV says, which has no bits for them (XRSTOR would refuse
// those).
//
// A VEX instruction that the processor does have zeroes the upper halves of its ZMM register, of which the
// processor does not know. So it may have AVX in XCR0 only while the upper halves of ZMM0 to ZMM15 are zero
// anyway: from the first that is not, AVX is off and its upper halves are kept here too, until all are zero
// again.
#ifndef REVENANT_KVM_COMPLETER_H_
#define REVENANT_KVM_COMPLETER_H_

#include <cstdint>

#include "control.h"

namespace revenant {

class Completer {
 public:
  // `physical`: the pool's guest-physical address.
  explicit Completer(std::uint64_t physical = 0) : physical_(physical) {}

  // 0, or -EINVAL for offsets outside the area, -EOPNOTSUPP where there is no software.
  int configure(const CompletionPayload& shared);
  void disable() { payload_ = {}; }
  bool enabled() const { return payload_.features != 0; }

  // Executes the program's next instructions while they are of this kind, and a few others between them;
  // conditional branches only where nobody counts what the processor retires (`branches`). Returns whether
  // the program may go on; else the context page says, as after an exit, why not: #UD for what this does not
  // execute, a fault of the instruction's own, #DB of a step or a data breakpoint. CTX_XCR0 may have changed:
  // the caller's to set.
  bool visit(void* pool, std::uint64_t pool_bytes, bool branches, std::uint64_t& completed);

 private:
  // Whether the plain instructions from here led to one that the processor lacks, lately: those that do not
  // are its own.
  struct Continuation {
    std::uint64_t rip;
    std::uint32_t score;
    std::uint32_t skipped;

    bool is_worthwhile();
    void note(bool led);
  };
  static constexpr unsigned kContinuations = 256;
  Continuation& continuation(std::uint64_t rip);

  std::uint64_t physical_;
  CompletionPayload payload_ = {};
  Continuation continuations_[kContinuations] = {};
};

}  // namespace revenant

#endif
