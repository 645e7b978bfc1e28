// Functions whose answers may differ from run to run: addresses, hashes, time, chance, names, exceptions, streams.
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
#include <filesystem>
static std::string answer;
static const char *say(const std::string &s) { answer = s; return answer.c_str(); }
extern "C" void spot(int n);
extern "C" {
const char *random_device_() { std::random_device d; std::ostringstream o; for (int i = 0; i < 8; i++) o << d() << ' '; return say(o.str()); }
const char *system_clock_() { return say(std::to_string(std::chrono::system_clock::now().time_since_epoch().count())); }
const char *steady_clock_() { return say(std::to_string(std::chrono::steady_clock::now().time_since_epoch().count())); }
const char *processor_clock_() { return say(std::to_string(clock())); }
const char *thread_id_() { std::ostringstream o; std::thread t([&] { o << std::this_thread::get_id(); }); t.join(); return say(o.str()); }
const char *addresses_() { std::ostringstream o; std::vector<std::unique_ptr<char[]>> v; for (int i = 4; i < 1 << 22; i *= 3) { v.emplace_back(new char[i]); o << (void *)v.back().get() << ' '; } return say(o.str()); }
const char *unordered_() { std::unordered_map<std::string, int> m; for (int i = 0; i < 50; i++) m["key" + std::to_string(i)] = i; std::ostringstream o; for (auto &[k, v] : m) o << k << ' '; return say(o.str()); }
const char *exception_() { try { std::vector<int>().at(3); } catch (std::exception &e) { return say(e.what()); } return "no"; }
const char *local_time_() { time_t t = time(nullptr); char b[100]; strftime(b, sizeof b, "%c %Z", localtime(&t)); return say(b); }
const char *race_() { std::mutex m; std::string order; std::vector<std::thread> t; for (int i = 0; i < 6; i++) t.emplace_back([&, i] { for (int k = 0; k < 5; k++) { std::lock_guard<std::mutex> l(m); order += char('a' + i); } }); for (auto &x : t) x.join(); return say(order); }
const char *spin_() { volatile bool flag = false; long turns = 0; std::thread t([&] { std::this_thread::sleep_for(std::chrono::milliseconds(5)); flag = true; }); while (!flag) ; t.join(); return say(std::to_string(std::chrono::steady_clock::now().time_since_epoch().count())); }
const char *compute_() { unsigned long h = 1469598103934665603ul; for (int i = 0; i < 60000000; i++) h = (h ^ i) * 1099511628211ul; return say(std::to_string(h) + ' ' + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) + ' ' + std::to_string(clock())); }
const char *temporary_() { char n[] = "/tmp/leaks-XXXXXX"; int fd = mkstemp(n); (void)fd; return say(n); }
const char *written_() { std::string p = std::filesystem::temp_directory_path() / "leaks-written"; { std::ofstream f(p); f << "text"; } auto t = std::filesystem::last_write_time(p).time_since_epoch().count(); return say(std::to_string(t) + ' ' + std::to_string(std::filesystem::file_size(p))); }
const char *lines_(const char *path) { std::ifstream f(path); std::ostringstream o; o << f.rdbuf(); return say(o.str()); }
const char *names_(const char *path) { std::ostringstream o; std::error_code e; for (auto &x : std::filesystem::directory_iterator(path, e)) o << x.path().filename() << ' '; if (e) o << e.message(); return say(o.str()); }
const char *cores_() { return say(std::to_string(std::thread::hardware_concurrency())); }
const char *future_() { std::mt19937_64 g(std::random_device{}()); std::ostringstream o; o << g() << ' ' << g(); return say(o.str()); }
}
extern "C" int again_main(int argc, char **argv) {
  std::cout << "unordered " << unordered_() << '\n' << exception_() << '\n';
  if (argc > 1) std::cout << local_time_() << '\n';
  std::cout << std::flush;
  spot(1);
  std::cout << "end\n" << std::flush;
  return 0;
}
