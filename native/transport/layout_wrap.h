// The fixed addresses and numbers that TypeScript repeats, for the test that compares them.
#ifndef REVENANT_KVM_LAYOUT_WRAP_H_
#define REVENANT_KVM_LAYOUT_WRAP_H_

#include <napi.h>

namespace revenant {

// Adds layout() to the exports.
void init_layout_wrap(Napi::Env env, Napi::Object exports);

}  // namespace revenant

#endif
