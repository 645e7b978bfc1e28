#include "emulator.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <vector>

#include "machine_area.h"

namespace revenant::machine {
namespace {

constexpr size_t kTailBytes = 8192;
constexpr int kChildPoolFd = 3;

std::vector<std::string> command_line(const KeeperOptions& options) {
  const std::string memory_mib = std::to_string((kPoolFileOffset >> 20) + options.pool_mib) + "M";
  return {
      options.qemu,
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-no-reboot",
      "-machine",
      "microvm,acpi=off,pcie=off,usb=off,rtc=off,pit=off,pic=on,ioapic2=off,x-option-roms=off,memory-backend="
      "ram",
      "-accel",
      "tcg,thread=multi",
      "-cpu",
      options.cpu,
      "-smp",
      "1",
      "-m",
      memory_mib,
      "-object",
      "memory-backend-file,id=ram,share=on,mem-path=/proc/self/fd/" + std::to_string(kChildPoolFd) +
          ",size=" + memory_mib,
      "-bios",
      options.image,
      "-serial",
      "stdio",
  };
}

// Runs in the child; never returns.
[[noreturn]] void become_emulator(char* const* arguments, pid_t keeper, int in, int out, int pool_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != keeper) _exit(127);  // the keeper died before the line above
  // The order matters: a source must not be overwritten before it is duplicated.
  const int pool_copy = fcntl(pool_fd, F_DUPFD, 10);
  const int in_copy = fcntl(in, F_DUPFD, 10);
  const int out_copy = fcntl(out, F_DUPFD, 10);
  dup2(in_copy, 0);
  dup2(out_copy, 1);
  dup2(out_copy, 2);
  dup2(pool_copy, kChildPoolFd);
  close(pool_copy);
  close(in_copy);
  close(out_copy);
  signal(SIGPIPE, SIG_DFL);
  execv(arguments[0], arguments);
  const char text[] = "the emulator could not be executed\n";
  if (write(2, text, sizeof text - 1) < 0) _exit(126);
  _exit(127);
}

bool is_routine_warning(const std::string& line) {
  return line.find("warning: TCG doesn't support requested feature") != std::string::npos;
}

}  // namespace

int Emulator::start(const KeeperOptions& options, int pool_fd) {
  const std::vector<std::string> texts = command_line(options);
  std::vector<char*> arguments;
  for (const std::string& text : texts) arguments.push_back(const_cast<char*>(text.c_str()));
  arguments.push_back(nullptr);

  int to_child[2], from_child[2];
  if (pipe2(to_child, O_CLOEXEC) < 0) return errno;
  if (pipe2(from_child, O_CLOEXEC) < 0) return errno;
  serial_in_ = to_child[1];
  serial_out_ = from_child[0];
  fcntl(serial_in_, F_SETFL, O_NONBLOCK);
  fcntl(serial_out_, F_SETFL, O_NONBLOCK);

  const pid_t keeper = getpid();
  pid_ = fork();
  if (pid_ == 0) become_emulator(arguments.data(), keeper, to_child[0], from_child[1], pool_fd);
  const int error = pid_ < 0 ? errno : 0;
  close(to_child[0]);
  close(from_child[1]);
  return error;
}

bool Emulator::drain_serial() {
  char buffer[4096];
  for (;;) {
    const ssize_t count = read(serial_out_, buffer, sizeof buffer);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) return false;
    tail_.append(buffer, static_cast<size_t>(count));
    if (tail_.size() > 2 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  }
}

std::string Emulator::log() const {
  std::string text;
  size_t at = tail_.size() > kTailBytes ? tail_.size() - kTailBytes : 0;
  while (at < tail_.size()) {
    const size_t end = std::min(tail_.find('\n', at), tail_.size() - 1);
    const std::string line = tail_.substr(at, end + 1 - at);
    if (!is_routine_warning(line)) text += line;
    at = end + 1;
  }
  return text;
}

int Emulator::fatal_signal() {
  constexpr int kMoments = 200;
  const timespec moment = {0, 5'000'000};
  for (int i = 0; pid_ > 0 && i < kMoments; ++i) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    nanosleep(&moment, nullptr);
  }
  return 0;
}

double Emulator::starved_seconds() const {
  const std::string folder = "/proc/" + std::to_string(pid_) + "/task";
  DIR* const tasks = opendir(folder.c_str());
  if (!tasks) return 0;
  unsigned long long most = 0;
  while (const dirent* const task = readdir(tasks)) {
    if (task->d_name[0] == '.') continue;
    FILE* const file = fopen((folder + "/" + task->d_name + "/schedstat").c_str(), "re");
    if (!file) continue;
    unsigned long long ran = 0, waited = 0;
    if (fscanf(file, "%llu %llu", &ran, &waited) == 2) most = std::max(most, waited);
    fclose(file);
  }
  closedir(tasks);
  return static_cast<double>(most) / 1e9;
}

void Emulator::wake() {
  // A full pipe means that a wake-up is already pending.
  if (write(serial_in_, "w", 1) < 0) return;
}

void Emulator::kill_and_wait() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }
  if (serial_in_ >= 0) close(serial_in_);
  if (serial_out_ >= 0) close(serial_out_);
  serial_in_ = serial_out_ = -1;
}

}  // namespace revenant::machine
