// The keeper of one emulated machine: starts QEMU with the pool as its memory, passes the pool to one
// client at a time, cleans the machine in between, and exits after a while without a lease. Nothing
// remains, whichever process dies: the pool is a memfd, the socket is abstract, QEMU dies with the
// keeper.
//
//   queued --a turn to start--> starting --it serves--> cleaning --clean--> idle --lease--> leased
//   --hang-up--> cleaning ... any --emulator died, stop request, idle too long, the machine makes no
//   progress--> end
//
// Waiting for the machine is bounded by its processor time: time in which it had no processor does not count.
//
// Invariant: single-threaded (see emulator.h).

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "emulator.h"
#include "keeper_client.h"
#include "keeper_options.h"
#include "keeper_protocol.h"
#include "lease_server.h"
#include "mailbox.h"
#include "pool.h"

namespace revenant::machine {
namespace {

constexpr int kBusyPollMs = 1;      // while waiting for the machine
constexpr int kQuietPollMs = 1000;  // only the idle time to check
constexpr double kFirstLeaseSeconds = 20;
constexpr double kQuiesceSeconds = 10;
constexpr double kClearSeconds = 60;
constexpr double kCommandSeconds = 60;
constexpr int kTurnPollMs = 100;           // while others start
constexpr double kLookAgainSeconds = 0.5;  // at what the emulator could not use

enum class State { kQueued, kStarting, kIdle, kLeased, kCleaning, kEnd };
enum class Cleaning { kQuiesce, kDestroy, kClear, kCreate };

double now_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// How many machines may start at the same time: more of them only take each other's time.
int starts_at_once() {
  cpu_set_t mine;
  return sched_getaffinity(0, sizeof mine, &mine) == 0 ? std::max(1, CPU_COUNT(&mine)) : 1;
}

const char* state_name(State state) {
  switch (state) {
    case State::kQueued:
      return "queued";
    case State::kStarting:
      return "starting";
    case State::kIdle:
      return "idle";
    case State::kLeased:
      return "leased";
    case State::kCleaning:
      return "cleaning";
    case State::kEnd:
      return "ending";
  }
  return "";
}

// A limit in seconds in which the emulator could have run.
class Patience {
 public:
  void begin(const Emulator& emulator, double seconds) {
    seconds_ = seconds;
    begun_ = looked_ = now_seconds();
    starved_ = emulator.starved_seconds();
  }

  bool is_over(const Emulator& emulator) {
    const double now = now_seconds();
    if (now - begun_ <= seconds_ || now - looked_ < kLookAgainSeconds) return false;
    looked_ = now;
    return now - begun_ - (emulator.starved_seconds() - starved_) > seconds_;
  }

 private:
  double seconds_ = 0;
  double begun_ = 0;
  double looked_ = 0;
  double starved_ = 0;
};

class Keeper {
 public:
  explicit Keeper(const KeeperOptions& options) : options_(options) {}

  int run();

 private:
  bool start();
  void step();
  void wait();
  void report_ready();
  void fail(const std::string& reason);
  void report_failure(const std::string& reason, bool with_log);
  void enter(State state);
  bool take_turn();
  void start_emulator();
  void check_boot();
  void check_lease();
  void check_command();
  void end_lease();
  void start_cleaning();
  void clean();
  void clean_memory();
  void become_idle();
  bool send_next_clear();
  void answer_requests();
  void grant(const Peer& peer);
  std::string status_json() const;
  void stop();
  double idle_end() const;

  KeeperOptions options_;
  Pool pool_;
  Emulator emulator_;
  LeaseServer server_;
  Mailbox mailbox_;
  State state_ = State::kQueued;
  int turn_ = -1;
  bool ready_reported_ = false;
  bool was_leased_ = false;
  double since_ = 0;
  double started_ = 0;
  Cleaning cleaning_ = Cleaning::kQuiesce;
  Patience patience_;
  uint32_t command_ = 0;
  uint64_t clear_from_ = 0;
  Peer client_;
};

void Keeper::enter(State state) {
  state_ = state;
  since_ = now_seconds();
}

// One JSON line to the process that started us; then standard output is closed.
void report_line(const std::string& line) {
  const std::string text = line + "\n";
  if (write(STDOUT_FILENO, text.data(), text.size()) < 0) {
    // The starter has died; the machine is of use to the next command.
  }
  const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd >= 0) dup2(null_fd, STDOUT_FILENO);
  if (null_fd > STDERR_FILENO) close(null_fd);
}

void Keeper::report_ready() {
  ready_reported_ = true;
  const long milliseconds = static_cast<long>((now_seconds() - started_) * 1000);
  report_line("{\"ready\":true,\"pid\":" + std::to_string(getpid()) + ",\"qemuPid\":" +
              std::to_string(emulator_.pid()) + ",\"milliseconds\":" + std::to_string(milliseconds) + "}");
}

void Keeper::report_failure(const std::string& reason, bool with_log) {
  report_line("{\"ready\":false,\"reason\":" + json_string(reason) +
              ",\"log\":" + json_string(with_log ? emulator_.log() : "") + "}");
  enter(State::kEnd);
}

bool Keeper::start() {
  started_ = since_ = now_seconds();
  int error = server_.listen_at(options_.name);
  if (error != 0) {
    report_failure(error == EADDRINUSE ? "name in use" : std::string("socket: ") + strerror(error), false);
    return false;
  }
  error = pool_.create(options_.pool_mib << 20);
  if (error != 0) {
    report_failure(std::string("memory pool: ") + strerror(error), false);
    return false;
  }
  mailbox_.attach(pool_.control());
  return true;
}

// A turn is a bound abstract socket, released when this process dies in any way.
bool Keeper::take_turn() {
  const std::string prefix = "revenant-" + std::to_string(geteuid()) + "-turn-";
  for (int index = 0; index < starts_at_once(); ++index) {
    turn_ = bind_abstract(prefix + std::to_string(index));
    if (turn_ >= 0) return true;
    if (turn_ != -EADDRINUSE) return true;  // no sockets available: better to start than to wait endlessly
  }
  return false;
}

void Keeper::start_emulator() {
  if (!take_turn()) {
    pollfd starter = {STDOUT_FILENO, 0, 0};
    // The process that started this one has exited.
    if (poll(&starter, 1, 0) > 0 && (starter.revents & POLLERR) != 0) enter(State::kEnd);
    return;
  }
  started_ = now_seconds();
  const int error = emulator_.start(options_, pool_.fd());
  if (error != 0) return report_failure(std::string("starting the emulator: ") + strerror(error), false);
  enter(State::kStarting);
  patience_.begin(emulator_, static_cast<double>(options_.boot_seconds));
}

void Keeper::check_boot() {
  if (__atomic_load_n(&pool_.area()->ready, __ATOMIC_ACQUIRE) == kReadyMagic) {
    start_cleaning();
  } else if (patience_.is_over(emulator_)) {
    report_failure("not ready after " + std::to_string(options_.boot_seconds) + " s of having a processor",
                   true);
  }
}

void Keeper::check_lease() {
  char bytes[64];
  const ssize_t count = recv(client_.fd, bytes, sizeof bytes, MSG_DONTWAIT);
  const bool gone = count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
  if (gone) end_lease();
}

// A machine that does not answer its client is useless: its end informs the client.
void Keeper::check_command() {
  const uint32_t command = mailbox_.pending_command();
  if (command != command_) patience_.begin(emulator_, kCommandSeconds);
  command_ = command;
  if (command != 0 && patience_.is_over(emulator_)) fail("the machine does not answer");
}

void Keeper::end_lease() {
  close(client_.fd);
  client_ = Peer{};
  mailbox_.kick();
  emulator_.wake();
  start_cleaning();
}

void Keeper::start_cleaning() {
  cleaning_ = Cleaning::kQuiesce;
  patience_.begin(emulator_, kQuiesceSeconds);
  enter(State::kCleaning);
}

// Sends the next ranges to be cleared; false if nothing was left.
bool Keeper::send_next_clear() {
  MachineArea* area = pool_.area();
  const uint32_t count = pool_.ranges_in_use(clear_from_, area->clear, kMaxClear, &clear_from_);
  if (count == 0) return false;
  area->clear_count = count;
  __atomic_store_n(&area->clear_request, area->clear_request + 1, __ATOMIC_RELEASE);
  emulator_.wake();
  return true;
}

// Cleaning is a sequence of waits for the machine; each call advances as far as possible.
void Keeper::clean() {
  if (patience_.is_over(emulator_)) return fail("the machine does not answer");
  if (cleaning_ == Cleaning::kQuiesce && mailbox_.is_quiet()) {
    mailbox_.request_destroy();
    emulator_.wake();
    cleaning_ = Cleaning::kDestroy;
  }
  if (cleaning_ == Cleaning::kDestroy && mailbox_.is_quiet()) {
    cleaning_ = Cleaning::kClear;
    clear_from_ = 0;
    patience_.begin(emulator_, kClearSeconds);
    if (send_next_clear()) return;
  }
  if (cleaning_ == Cleaning::kClear) clean_memory();
  if (cleaning_ != Cleaning::kCreate || !mailbox_.is_quiet()) return;
  // After a guest a machine that makes no other is broken. The first one is for the client to see: it can say
  // why.
  if (was_leased_ && mailbox_.result() != 0) return fail("the machine makes no more guests");
  become_idle();
}

void Keeper::clean_memory() {
  MachineArea* area = pool_.area();
  if (__atomic_load_n(&area->clear_done, __ATOMIC_ACQUIRE) != area->clear_request) return;
  if (send_next_clear()) return;
  if (pool_.discard() != 0) return fail("the memory pool cannot be emptied");
  mailbox_.reset();
  __atomic_store_n(&area->stale_count, 0, __ATOMIC_RELEASE);
  mailbox_.request_create();
  emulator_.wake();
  cleaning_ = Cleaning::kCreate;
}

void Keeper::become_idle() {
  enter(State::kIdle);
  if (turn_ >= 0) close(turn_);
  turn_ = -1;
  if (!ready_reported_) report_ready();
}

// Ends this keeper: the next command starts another.
void Keeper::fail(const std::string& reason) {
  if (!ready_reported_) return report_failure(reason, true);
  enter(State::kEnd);
}

void Keeper::grant(const Peer& peer) {
  client_ = peer;
  was_leased_ = true;
  command_ = 0;
  enter(State::kLeased);
  if (!send_answer(peer.fd, kGranted, status_json(), {pool_.fd(), emulator_.line_fd()})) end_lease();
}

std::string Keeper::status_json() const {
  const long seconds = static_cast<long>(now_seconds() - since_);
  return "{\"pid\":" + std::to_string(getpid()) + ",\"qemuPid\":" + std::to_string(emulator_.pid()) +
         ",\"cpu\":" + json_string(options_.cpu) + ",\"poolBytes\":" + std::to_string(pool_.bytes()) +
         ",\"state\":\"" + state_name(state_) + "\",\"seconds\":" + std::to_string(seconds) +
         ",\"client\":" + std::to_string(client_.pid) +
         ",\"idleSeconds\":" + std::to_string(options_.idle_seconds) + "}";
}

void Keeper::stop() {
  server_.stop_listening();  // first, so that the name is free before the answer
  emulator_.kill_and_wait();
  if (!ready_reported_) return fail("it was asked to stop");
  enter(State::kEnd);
}

void Keeper::answer_requests() {
  server_.accept_all();
  server_.read_requests();
  Peer peer;
  while (server_.take(kRequestStatus, &peer)) {
    send_answer(peer.fd, kGranted, status_json());
    close(peer.fd);
  }
  while (state_ != State::kCleaning && server_.take(kRequestLease, &peer)) {
    if (state_ == State::kIdle) {
      grant(peer);
      continue;
    }
    send_answer(peer.fd, kRefused, status_json());
    close(peer.fd);
  }
  while (server_.take(kRequestStopIdle, &peer)) {
    const bool idle = state_ == State::kIdle || state_ == State::kCleaning;
    if (idle && !server_.has(kRequestLease)) stop();
    send_answer(peer.fd, state_ == State::kEnd ? kGranted : kRefused, status_json());
    close(peer.fd);
  }
  while (server_.take(kRequestStop, &peer)) {
    stop();
    send_answer(peer.fd, kGranted, "{}");
    close(peer.fd);
  }
}

// When to exit without a first lease. The process that started us needs time to connect, also on a busy
// system.
double Keeper::idle_end() const {
  const double seconds = static_cast<double>(options_.idle_seconds);
  return since_ + (was_leased_ ? seconds : std::max(seconds, kFirstLeaseSeconds));
}

void Keeper::wait() {
  std::vector<pollfd> fds = {{server_.fd(), POLLIN, 0}, {emulator_.serial_fd(), POLLIN, 0}};
  if (state_ == State::kLeased) fds.push_back({client_.fd, POLLIN | POLLRDHUP, 0});
  for (const Peer& peer : server_.peers()) {
    // A peer that waits for its lease is only watched for hanging up.
    fds.push_back({peer.fd, static_cast<short>(peer.request == 0 ? POLLIN : POLLRDHUP), 0});
  }
  int timeout = kQuietPollMs;
  if (state_ == State::kQueued) timeout = kTurnPollMs;
  if (state_ == State::kStarting || state_ == State::kCleaning) timeout = kBusyPollMs;
  if (state_ == State::kIdle) {
    const double left = idle_end() - now_seconds();
    timeout = static_cast<int>(std::clamp(left * 1000 + 1, 1.0, 60000.0));
  }
  poll(fds.data(), fds.size(), timeout);
}

void Keeper::step() {
  if (state_ == State::kQueued) start_emulator();
  if (state_ != State::kQueued && state_ != State::kEnd && !emulator_.drain_serial()) {
    if (ready_reported_) return enter(State::kEnd);
    const int signal = emulator_.fatal_signal();
    return fail(signal == 0 ? "the emulator ended while it started"
                            : std::string("the emulator was killed by ") + strsignal(signal));
  }
  if (state_ == State::kStarting) check_boot();
  if (state_ == State::kLeased) check_lease();
  if (state_ == State::kLeased) check_command();
  if (state_ == State::kCleaning) clean();
  if (state_ != State::kEnd) answer_requests();
  if (state_ == State::kIdle && now_seconds() >= idle_end()) enter(State::kEnd);
}

int Keeper::run() {
  if (!start()) return 1;
  while (state_ != State::kEnd) {
    wait();
    step();
  }
  return 0;
}

// `--ask status|stop|stop-idle NAME`: queries a running keeper and prints its answer, '+' or '-' and JSON.
int ask(const char* what, const char* name) {
  constexpr struct {
    const char* name;
    char request;
  } kQuestions[] = {{"status", kRequestStatus}, {"stop", kRequestStop}, {"stop-idle", kRequestStopIdle}};
  char request = 0;
  for (const auto& question : kQuestions) {
    if (strcmp(what, question.name) == 0) request = question.request;
  }
  if (request == 0) return 2;
  char answer[4096];
  const int error = ask_keeper(name, request, answer, sizeof answer);
  if (error != 0) return 1;
  fputs(answer, stdout);
  return 0;
}

constexpr char kUsage[] =
    "revenant-keeper: %s\nIt is started by `revenant machine start` and by replays; see keeper_options.h.\n";

}  // namespace
}  // namespace revenant::machine

int main(int argc, char** argv) {
  using namespace revenant::machine;
  if (argc == 4 && strcmp(argv[1], "--ask") == 0) return ask(argv[2], argv[3]);
  KeeperOptions options;
  const std::string problem = parse_options(argc, argv, &options);
  if (!problem.empty()) {
    fprintf(stderr, kUsage, problem.c_str());
    return 2;
  }
  setsid();
  umask(077);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  if (chdir("/") < 0) return 1;
  return Keeper(options).run();
}
