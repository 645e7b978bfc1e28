#include "layout_wrap.h"

#include "../kvm/control.h"
#include "../kvm/ring0/layout.h"
#include "../machine/machine_area.h"

namespace revenant {
namespace {

struct Entry {
  const char* name;
  double value;
};

#define FIELD(name) \
  { "control." #name, static_cast<double>(offsetof(Control, name)) }
#define COMMAND(name) \
  { "command." #name, static_cast<double>(Command::name) }
#define EXIT_KIND(name) \
  { "exitKind." #name, static_cast<double>(ExitKind::name) }
#define MACHINE_AREA(name) \
  { "machineArea." #name, static_cast<double>(machine::kAreaOffset + offsetof(machine::MachineArea, name)) }
#define CONSTANT(name) \
  { #name, static_cast < double>(name) }

constexpr Entry kEntries[] = {
    FIELD(request_seq),
    FIELD(command),
    FIELD(kick),
    FIELD(budget_micros),
    FIELD(value),
    FIELD(complete_seq),
    FIELD(result),
    FIELD(exit_kind),
    FIELD(exit_reason),
    FIELD(exit_detail),
    FIELD(exit_rip),
    FIELD(run_ioctls),
    FIELD(stub_exits),
    FIELD(completed),
    FIELD(payload),
    COMMAND(create),
    COMMAND(destroy),
    COMMAND(get_supported_cpuid),
    COMMAND(set_cpuid2),
    COMMAND(get_cpuid2),
    COMMAND(set_xcr0),
    COMMAND(init_long_mode),
    COMMAND(set_msrs),
    COMMAND(set_completion),
    COMMAND(run),
    COMMAND(ping),
    COMMAND(spin),
    EXIT_KIND(stub),
    EXIT_KIND(interrupted),
    EXIT_KIND(failed),
    MACHINE_AREA(stale_count),
    MACHINE_AREA(stale),
    {"machineArea.maxStale", static_cast<double>(machine::kMaxStale)},
    CONSTANT(R0_CONTROL_SIZE),
    CONSTANT(R0_CONTEXT),
    CONSTANT(R0_PDPT),
    CONSTANT(R0_PML4),
    CONSTANT(R0_PML4_SLOT),
    CONSTANT(R0_XSTATE),
    CONSTANT(R0_XSTATE_SIZE),
    CONSTANT(R0_X87),
    CONSTANT(R0_LDT),
    CONSTANT(R0_LDT_SIZE),
    CONSTANT(R0_STAGED),
    CONSTANT(R0_STAGED_SIZE),
    CONSTANT(R0_END),
    CONSTANT(CTX_REQUESTS),
    CONSTANT(CTX_VECTOR),
    CONSTANT(CTX_ERROR_CODE),
    CONSTANT(CTX_CR2),
    CONSTANT(CTX_DR6),
    CONSTANT(CTX_CR3),
    CONSTANT(CTX_DR0),
    CONSTANT(CTX_DR7),
    CONSTANT(CTX_LDT),
    CONSTANT(CTX_GDT),
    CONSTANT(CTX_REGISTERS),
    CONSTANT(CTX_STAGED_LEFT),
    CONSTANT(CTX_STAGED_NEXT),
    CONSTANT(CTX_XCR0),
    CONSTANT(CTX_ORIGINALS),
    CONSTANT(CTX_FLUSH_COUNT),
    CONSTANT(CTX_FLUSH),
    CONSTANT(CTX_FLUSH_MOST),
    CONSTANT(CTX_REQUEST_CR3),
    CONSTANT(CTX_REQUEST_XRSTOR),
    CONSTANT(CTX_REQUEST_FS_GS_BASE),
    CONSTANT(CTX_REQUEST_SEGMENTS),
    CONSTANT(CTX_REQUEST_DEBUG),
    CONSTANT(CTX_REQUEST_XSAVE),
    CONSTANT(CTX_REQUEST_CLEAR_FIP),
    CONSTANT(CTX_REQUEST_LDT),
    CONSTANT(CTX_REQUEST_XCR0),
    CONSTANT(CTX_REQUEST_FLUSH_PAGES),
    CONSTANT(STAGED_SIZE),
    CONSTANT(STAGED_REQUESTS),
    CONSTANT(STAGED_WRITES),
    CONSTANT(STAGED_RAX),
    CONSTANT(STAGED_RCX),
    CONSTANT(STAGED_R11),
    CONSTANT(STAGED_EFLAGS),
    CONSTANT(STAGED_ORIG_RAX),
    CONSTANT(STAGED_REGISTERS),
    CONSTANT(STAGED_DATA),
    CONSTANT(SEL_LDT),
    CONSTANT(SEL_TLS),
    CONSTANT(VECTOR_INT80),
    CONSTANT(VECTOR_SYSCALL),
    CONSTANT(VECTOR_XSAVED),
    CONSTANT(VECTOR_INTERRUPTED),
    CONSTANT(VECTOR_SYSCALL_COMPAT),
    CONSTANT(VECTOR_STAGED),
    CONSTANT(VECTOR_RING0),
};

Napi::Value layout(const Napi::CallbackInfo& info) {
  Napi::Object result = Napi::Object::New(info.Env());
  for (const Entry& entry : kEntries) result.Set(entry.name, Napi::Number::New(info.Env(), entry.value));
  return result;
}

}  // namespace

void init_layout_wrap(Napi::Env env, Napi::Object exports) {
  exports.Set("layout", Napi::Function::New(env, layout, "layout"));
}

}  // namespace revenant
