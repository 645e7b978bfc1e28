#include "transport_wrap.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>

#include "mailbox_client.h"
#ifdef __x86_64__
#include "host_transport.h"
#include "process_transport.h"
#endif

namespace revenant {
namespace {

// JavaScript sees `code` = "EBUSY" and `errno` = 16, as with Node's own system errors.
void throw_errno(Napi::Env env, const char* operation, int error) {
  const char* const name = strerrorname_np(error);
  Napi::Error thrown = Napi::Error::New(env, std::string(operation) + ": " + strerror(error));
  thrown.Set("code", Napi::String::New(env, name ? name : "EIO"));
  thrown.Set("errno", Napi::Number::New(env, error));
  thrown.ThrowAsJavaScriptException();
}

using SharedTransport = std::shared_ptr<Transport>;

// What an ArrayBuffer of a pool holds.
struct PoolOwner {
  SharedTransport transport;
  bool* is_gone;  // set when the owner goes, while somebody looks
};

void finalize_pool(napi_env, void*, void* data) {
  auto* const owner = static_cast<PoolOwner*>(data);
  if (owner->is_gone) *owner->is_gone = true;
  delete owner;
}

// The pool as an ArrayBuffer that owns the transport, too. Empty, with an exception pending, where Node
// cannot hold as much in one. Not by Napi::ArrayBuffer::New: Node finalizes what it refuses for its size, and
// that function deletes the finalizer's data once more.
Napi::ArrayBuffer pool_buffer(Napi::Env env, const SharedTransport& transport) {
  bool is_gone = false;
  auto* const owner = new PoolOwner{transport, &is_gone};
  napi_value value = nullptr;
  const napi_status status = napi_create_external_arraybuffer(env, transport->pool(), transport->pool_bytes(),
                                                              finalize_pool, owner, &value);
  if (!is_gone) owner->is_gone = nullptr;
  if (status == napi_ok) return Napi::ArrayBuffer(env, value);
  // Whether it is finalized later is not said.
  if (!is_gone) owner->transport.reset();
  if (!env.IsExceptionPending()) {
    Napi::RangeError::New(env, "guest memory is larger than an ArrayBuffer can be")
        .ThrowAsJavaScriptException();
  }
  return Napi::ArrayBuffer();
}

// The methods live on a plain object, as closures over the shared transport. The pool's ArrayBuffer owns
// it as well: the mapping lasts as long as either, and close() detaches the buffer.
class Handle {
 public:
  Handle(SharedTransport transport, Napi::ArrayBuffer pool)
      : transport_(std::move(transport)), pool_(Napi::Persistent(pool)) {}

  Napi::Value pool() const { return pool_.Value(); }

  Napi::Value execute(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), transport_ ? transport_->execute() : -EPIPE);
  }

  Napi::Value run(const Napi::CallbackInfo& info) {
    if (!has_number(info, "run(budgetMicros)")) return info.Env().Undefined();
    const std::uint32_t budget = info[0].As<Napi::Number>().Uint32Value();
    return Napi::Number::New(info.Env(), transport_ ? transport_->run(budget) : -EPIPE);
  }

  // Counts and event numbers fit a double exactly: they have less than 53 bits.
  Napi::Value open_counter(const Napi::CallbackInfo& info) {
    if (!has_number(info, "openCounter(config)")) return info.Env().Undefined();
    const auto config = static_cast<std::uint64_t>(info[0].As<Napi::Number>().DoubleValue());
    return Napi::Number::New(info.Env(), transport_ ? transport_->open_counter(config) : -EPIPE);
  }

  Napi::Value read_counter(const Napi::CallbackInfo& info) {
    std::uint64_t count = 0;
    const int result = transport_ ? transport_->read_counter(count) : -EPIPE;
    return Napi::Number::New(info.Env(), result < 0 ? result : static_cast<double>(count));
  }

  Napi::Value arm_counter(const Napi::CallbackInfo& info) {
    if (!has_number(info, "armCounter(after)")) return info.Env().Undefined();
    const auto after = static_cast<std::uint64_t>(info[0].As<Napi::Number>().DoubleValue());
    return Napi::Number::New(info.Env(), transport_ ? transport_->arm_counter(after) : -EPIPE);
  }

  Napi::Value kick(const Napi::CallbackInfo& info) {
    if (transport_) transport_->kick();
    return info.Env().Undefined();
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    if (!transport_) return info.Env().Undefined();
    transport_->close();
    transport_.reset();
    pool_.Value().Detach();
    pool_.Reset();
    return info.Env().Undefined();
  }

 private:
  // Whether the first argument is a number that is not negative; throws if it is not.
  static bool has_number(const Napi::CallbackInfo& info, const char* call) {
    if (info.Length() > 0 && info[0].IsNumber() && info[0].As<Napi::Number>().DoubleValue() >= 0) return true;
    Napi::TypeError::New(info.Env(), std::string(call) + " needs a number, 0 or more")
        .ThrowAsJavaScriptException();
    return false;
  }

  SharedTransport transport_;
  Napi::Reference<Napi::ArrayBuffer> pool_;
};

Napi::Value wrap(Napi::Env env, SharedTransport transport) {
  const Napi::ArrayBuffer pool = pool_buffer(env, transport);
  if (pool.IsEmpty()) return env.Undefined();
  auto handle = std::make_shared<Handle>(std::move(transport), pool);
  Napi::Object object = Napi::Object::New(env);
  object.Set("pool", handle->pool());
  const auto add = [&](const char* name, Napi::Value (Handle::*method)(const Napi::CallbackInfo&)) {
    object.Set(
        name,
        Napi::Function::New(
            env, [handle, method](const Napi::CallbackInfo& info) { return (*handle.*method)(info); }, name));
  };
  add("execute", &Handle::execute);
  add("run", &Handle::run);
  add("openCounter", &Handle::open_counter);
  add("readCounter", &Handle::read_counter);
  add("armCounter", &Handle::arm_counter);
  add("kick", &Handle::kick);
  add("close", &Handle::close);
  return object;
}

#ifdef __x86_64__

Napi::Value open_host(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const double bytes = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  if (!(bytes >= R0_END && bytes <= 0x10000000000 && std::fmod(bytes, 4096) == 0)) {
    Napi::RangeError::New(env, "openHost(poolBytes): whole pages between 256 KiB and 1 TiB")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  auto transport = std::make_shared<HostTransport>();
  const int result = transport->open(static_cast<std::size_t>(bytes));
  if (result < 0) {
    throw_errno(env, "openHost", -result);
    return env.Undefined();
  }
  return wrap(env, std::move(transport));
}

Napi::Value open_process(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const bool valid = info.Length() >= 3 && info[0].IsNumber() && info[1].IsString() && info[2].IsNumber();
  const double bytes = valid ? info[0].As<Napi::Number>().DoubleValue() : 0;
  const double base = valid ? info[2].As<Napi::Number>().DoubleValue() : 0;
  if (!(bytes >= R0_END && bytes <= 0x10000000000 && std::fmod(bytes, 4096) == 0) ||
      !(base >= 0x200000000 && base <= 0x7f0000000000 && std::fmod(base, 4294967296.0) == 0)) {
    Napi::RangeError::New(
        env,
        "openProcess(poolBytes, sandbox, base): whole pages between 256 KiB and 1 TiB, a path, and an "
        "address that is a multiple of 4 GiB")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  DebugMeans means = DebugMeans::none;
  if (info.Length() > 3 && info[3].IsString()) {
    const std::string name = info[3].As<Napi::String>().Utf8Value();
    means = name == "events" ? DebugMeans::events : name == "tracing" ? DebugMeans::tracing : means;
    if (means == DebugMeans::none) {
      Napi::TypeError::New(env, "openProcess: the debug registers' means are 'events' or 'tracing'")
          .ThrowAsJavaScriptException();
      return env.Undefined();
    }
  }
  auto transport = std::make_shared<ProcessTransport>();
  const std::string sandbox = info[1].As<Napi::String>().Utf8Value();
  ProcessOptions options = {sandbox.c_str(), static_cast<std::uint64_t>(base), means};
  if (info.Length() > 4 && info[4].IsBoolean() && !info[4].As<Napi::Boolean>().Value())
    options.isolation = Isolation::none;
  const int result = transport->open(static_cast<std::size_t>(bytes), options);
  if (result < 0) {
    throw_errno(env, transport->failed_at(), -result);
    return env.Undefined();
  }
  const bool has_namespaces = transport->isolation() == Isolation::namespaces;
  const Napi::Value handle = wrap(env, std::move(transport));
  if (handle.IsObject())
    handle.As<Napi::Object>().Set("hasNamespaces", Napi::Boolean::New(env, has_namespaces));
  return handle;
}

#else

// Recorded programs are x86's: other processors execute them in the emulated machine only.
template <const char* kName>
Napi::Value open_nothing(const Napi::CallbackInfo& info) {
  throw_errno(info.Env(), kName, ENOEXEC);
  return info.Env().Undefined();
}
constexpr char kOpenHost[] = "openHost", kOpenProcess[] = "openProcess";
constexpr auto open_host = open_nothing<kOpenHost>;
constexpr auto open_process = open_nothing<kOpenProcess>;

#endif

Napi::Value open_mailbox(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsString()) {
    Napi::TypeError::New(env, "openMailbox(abstractName) needs a string").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  auto transport = std::make_shared<MailboxClient>();
  const int result = transport->open(info[0].As<Napi::String>().Utf8Value().c_str());
  if (result < 0) {
    throw_errno(env, "openMailbox", -result);
    return env.Undefined();
  }
  return wrap(env, std::move(transport));
}

}  // namespace

void init_transport_wrap(Napi::Env env, Napi::Object exports) {
  exports.Set("openHost", Napi::Function::New(env, open_host, "openHost"));
  exports.Set("openProcess", Napi::Function::New(env, open_process, "openProcess"));
  exports.Set("openMailbox", Napi::Function::New(env, open_mailbox, "openMailbox"));
}

}  // namespace revenant
