// Preloaded into a program that speaks SG_IO: its commands go to a Unix socket and are answered there, whatever
// file it opened. Each command is a connection of its own. Everything is little-endian:
//
//   request   u32 bytes of the CDB, u32 bytes of data-out, u32 bytes of data-in at most; the CDB, the data-out
//   answer    u32 status, u32 bytes of sense, u32 bytes of data-in; the sense, the data-in
//
// SG_IO_RELAY is the socket's path. An answer that does not come fails the ioctl with EIO. /dev/null, which stands for the disk, looks
// like an sg node to programs that read or write other files otherwise.
#include <scsi/sg.h>
#include <fcntl.h>
#include <linux/major.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr unsigned char kDriverSense = 0x08;

class Connection {
 public:
  explicit Connection(const char* path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (fd_ < 0 || std::strlen(path) >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, path, std::strlen(path));
    good_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }

  bool good() const { return good_; }

  void send(const void* data, std::size_t length) {
    transfer(length, [&](std::size_t done, std::size_t rest) {
      return ::send(fd_, static_cast<const char*>(data) + done, rest, MSG_NOSIGNAL);
    });
  }

  void receive(void* data, std::size_t length) {
    transfer(length, [&](std::size_t done, std::size_t rest) {
      return recv(fd_, static_cast<char*>(data) + done, rest, 0);
    });
  }

 private:
  template <typename Step>
  void transfer(std::size_t length, Step step) {
    for (std::size_t done = 0; good_ && done < length;) {
      const ssize_t moved = step(done, length - done);
      if (moved > 0)
        done += static_cast<std::size_t>(moved);
      else if (moved == 0 || errno != EINTR)
        good_ = false;
    }
  }

  int fd_;
  bool good_ = false;
};

bool relay(const char* path, sg_io_hdr_t& io) {
  const bool out = io.dxfer_direction == SG_DXFER_TO_DEV;
  const bool in = io.dxfer_direction == SG_DXFER_FROM_DEV;
  Connection connection(path);
  const std::array<std::uint32_t, 3> request = {io.cmd_len, out ? io.dxfer_len : 0, in ? io.dxfer_len : 0};
  connection.send(request.data(), sizeof request);
  connection.send(io.cmdp, request[0]);
  connection.send(io.dxferp, request[1]);
  std::array<std::uint32_t, 3> answer{};
  connection.receive(answer.data(), sizeof answer);
  if (!connection.good() || answer[1] > 255 || answer[2] > request[2]) return false;
  std::array<unsigned char, 255> sense{};
  connection.receive(sense.data(), answer[1]);
  connection.receive(io.dxferp, answer[2]);
  if (!connection.good()) return false;

  io.status = static_cast<unsigned char>(answer[0]);
  io.masked_status = static_cast<unsigned char>((answer[0] >> 1) & 0x1f);
  io.msg_status = 0;
  io.host_status = 0;
  io.driver_status = answer[1] > 0 ? kDriverSense : 0;
  io.sb_len_wr = static_cast<unsigned char>(std::min<std::uint32_t>(answer[1], io.mx_sb_len));
  std::copy_n(sense.data(), io.sb_len_wr, io.sbp);
  io.resid = in ? static_cast<int>(request[2] - answer[2]) : 0;
  io.duration = 0;
  io.info = io.status == 0 ? SG_INFO_OK : SG_INFO_CHECK;
  return true;
}

// What an sg driver answers beside SG_IO; its version is that of version 3 of the interface.
bool answer_sg(unsigned long request, void* argument) {
  if (request == SG_GET_VERSION_NUM) *static_cast<int*>(argument) = 30536;
  return request == SG_GET_VERSION_NUM || request == SG_SET_RESERVED_SIZE || request == SG_SET_TIMEOUT;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  const char* const path = std::getenv("SG_IO_RELAY");
  if (path != nullptr && answer_sg(request, argument)) return 0;
  if (request != SG_IO || path == nullptr) return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
  if (relay(path, *static_cast<sg_io_hdr_t*>(argument))) return 0;
  errno = EIO;
  return -1;
}

extern "C" __attribute__((visibility("default"))) int stat64(const char* name, struct stat64* status) noexcept {
  const int result = fstatat64(AT_FDCWD, name, status, 0);
  if (result == 0 && std::strcmp(name, "/dev/null") == 0) status->st_rdev = makedev(SCSI_GENERIC_MAJOR, 0);
  return result;
}
