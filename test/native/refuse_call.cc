// Executes a command to which the kernel refuses a system call, as an older kernel or a container's filter
// would:
//   refuse-call NUMBER CONDITION ERRNO COMMAND...
// CONDITION: `-` for every such call; `INDEX=VALUE`, those with this argument; `INDEX&MASK`, those with all
// of these bits in it. Of the argument the low half counts.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char** arguments) {
  if (count < 5) return 2;
  const auto number = [](const char* text) {
    return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 0));
  };
  std::vector<sock_filter> filter = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch)},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, number(arguments[1])},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  if (const char* const condition = arguments[2]; std::strcmp(condition, "-") != 0) {
    const auto offset = static_cast<std::uint32_t>(offsetof(seccomp_data, args)) + 8 * number(condition);
    const std::uint32_t value = number(condition + 2);
    filter.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, offset});
    if (condition[1] == '&') filter.push_back({BPF_ALU | BPF_AND | BPF_K, 0, 0, value});
    filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 1, 0, value});
    filter.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
  }
  filter.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | number(arguments[3])});
  const sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
    std::perror("refuse-call");
    return 3;
  }
  execvp(arguments[4], arguments + 4);
  std::perror(arguments[4]);
  return 127;
}
