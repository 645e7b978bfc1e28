#include "lease_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace revenant::machine {
namespace {

constexpr size_t kMaxPeers = 32;

}  // namespace

LeaseServer::~LeaseServer() {
  for (const Peer& peer : peers_) close(peer.fd);
  if (fd_ >= 0) close(fd_);
}

int bind_abstract(const std::string& name) {
  sockaddr_un address = {};
  if (name.empty() || name.size() > sizeof address.sun_path - 1) return -EINVAL;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name.data(), name.size());
  const socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

int LeaseServer::listen_at(const std::string& name) {
  const int fd = bind_abstract(name);
  if (fd < 0) return -fd;
  fd_ = fd;
  return listen(fd_, 16) < 0 ? errno : 0;
}

void LeaseServer::stop_listening() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void LeaseServer::accept_all() {
  for (;;) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    ucred user = {};
    socklen_t size = sizeof user;
    const bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &size) == 0 && user.uid == geteuid();
    if (!known || peers_.size() >= kMaxPeers) {
      close(fd);
      continue;
    }
    peers_.push_back({fd, user.pid, 0});
  }
}

void LeaseServer::read_requests() {
  for (size_t i = 0; i < peers_.size();) {
    char byte = 0;
    const ssize_t count = recv(peers_[i].fd, &byte, 1, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
      close(peers_[i].fd);
      peers_.erase(peers_.begin() + static_cast<ptrdiff_t>(i));
      continue;
    }
    if (count == 1 && peers_[i].request == 0) peers_[i].request = byte;
    ++i;
  }
}

bool LeaseServer::take(char request, Peer* peer) {
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (peers_[i].request != request) continue;
    *peer = peers_[i];
    peers_.erase(peers_.begin() + static_cast<ptrdiff_t>(i));
    return true;
  }
  return false;
}

bool LeaseServer::has(char request) const {
  for (const Peer& peer : peers_) {
    if (peer.request == request) return true;
  }
  return false;
}

bool send_answer(int fd, char verdict, const std::string& json, std::initializer_list<int> pass_fds) {
  std::string text = verdict + json + "\n";
  iovec part = {text.data(), text.size()};
  constexpr size_t kMostFds = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (pass_fds.size() > 0 && pass_fds.size() <= kMostFds) {
    const size_t bytes = pass_fds.size() * sizeof(int);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(header), pass_fds.begin(), bytes);
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c >= ' ' && c <= '~') {
      out += c;
    } else if (c != '\r') {
      out += '?';
    }
  }
  return out + '"';
}

}  // namespace revenant::machine
