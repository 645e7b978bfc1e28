#include "mailbox.h"

#include <cstring>

#include "../kvm/control.h"
#include "machine_area.h"

namespace revenant::machine {

static_assert(offsetof(Control, keeper_area) == kAreaOffset);
static_assert(sizeof(Control) == kControlBlockBytes);

bool Mailbox::is_quiet() const {
  return control_->complete_seq.load(std::memory_order_acquire) ==
         control_->request_seq.load(std::memory_order_acquire);
}

uint32_t Mailbox::pending_command() const {
  if (is_quiet() || control_->command == Command::run) return 0;
  return control_->request_seq.load(std::memory_order_acquire);
}

int Mailbox::result() const { return control_->result; }

void Mailbox::kick() { control_->kick.store(1, std::memory_order_release); }

void Mailbox::request(Command command) {
  control_->command = command;
  const uint32_t next = control_->request_seq.load(std::memory_order_relaxed) + 1;
  control_->request_seq.store(next, std::memory_order_release);
}

void Mailbox::request_destroy() { request(Command::destroy); }

void Mailbox::request_create() { request(Command::create); }

void Mailbox::reset() {
  control_->command = Command::none;
  control_->kick.store(0, std::memory_order_relaxed);
  control_->budget_micros = 0;
  control_->value = 0;
  memset(control_->payload, 0, sizeof control_->payload);
}

}  // namespace revenant::machine
