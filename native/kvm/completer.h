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
// again. Where AVX cannot be switched off (a process has the host's XCR0), the processor executes none of the
// program's instructions by itself meanwhile, but those one by one that are not executed here.
#ifndef REVENANT_KVM_COMPLETER_H_
#define REVENANT_KVM_COMPLETER_H_

#include <cstdint>

#include "control.h"

namespace revenant {

// What a visit leaves the program to.
enum class Visit {
  exit,              // the context page says, as after an exit, why it stops
  processor,         // its next instructions are the processor's
  step,              // its next instruction is, and no other: then the next visit is due
  step_loads_flags,  // the same; the instruction may set the trap flag itself
};

class Completer {
 public:
  // `physical`: the pool's guest-physical address. `switches`: AVX is switched off by CTX_XCR0, which is the
  // caller's to set after visits.
  explicit Completer(std::uint64_t physical = 0, bool switches = true)
      : physical_(physical), switches_(switches) {}

  // 0, or -EINVAL for offsets outside the area, -EOPNOTSUPP where there is no software.
  int configure(const CompletionPayload& shared);
  void disable() { payload_ = {}; }
  bool enabled() const { return payload_.features != 0; }

  // Whether the processor may execute the program's next instruction at most: AVX is on, and upper halves of
  // ZMM0 to ZMM15 are here. Then every exit must fill the XSAVE area, and a visit comes before every entry.
  // Only without `switches`.
  bool is_due(const void* pool) const;

  // Executes the program's next instructions while they are of this kind, and a few others between them;
  // conditional branches only where nobody counts what the processor retires (`branches`). `undefined`: the
  // first has raised #UD. Visit::exit comes of #UD for what this does not execute, a fault of the
  // instruction's own, #DB of a step or a data breakpoint.
  Visit visit(void* pool, std::uint64_t pool_bytes, bool undefined, bool branches, std::uint64_t& completed);

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
  bool switches_;
  CompletionPayload payload_ = {};
  Continuation continuations_[kContinuations] = {};
};

}  // namespace revenant

#endif
