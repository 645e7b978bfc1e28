// A shop: what developers of C++ ask about at a breakpoint. It stops by `Shop::inspect`.
#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace shop {
enum class Unit { piece, kilogram };

struct Money {
  long cents = 0;
  Money operator+(const Money& other) const { return {cents + other.cents}; }
  bool operator<(const Money& other) const { return cents < other.cents; }
};
std::ostream& operator<<(std::ostream& out, const Money& m) { return out << m.cents / 100 << '.' << m.cents % 100; }

struct Named {
  std::string name;
  explicit Named(std::string n) : name(std::move(n)) {}
  virtual ~Named() = default;
  virtual std::string describe() const { return "named " + name; }
};
struct Tagged { int tag = 42; virtual int tagged() const { return tag; } virtual ~Tagged() = default; };
struct Item : Named, virtual Tagged {
  Money price;
  Unit unit;
  Item(std::string n, long cents, Unit u = Unit::piece) : Named(std::move(n)), price{cents}, unit(u) {}
  std::string describe() const override { return name + " for " + std::to_string(price.cents); }
  Money times(int count) const { return {price.cents * count}; }
  Money times(double weight) const { return {static_cast<long>(price.cents * weight)}; }
  static int made;
};
int Item::made = 3;

template <typename T, int N> struct Ring {
  std::array<T, N> at{};
  int next = 0;
  void push(T value) { at[next++ % N] = value; }
  T sum() const { T total{}; for (const T& v : at) total = total + v; return total; }
};

class Shop {
 public:
  std::vector<std::shared_ptr<Item>> items;
  std::map<std::string, int> stock;
  std::unordered_map<int, std::string> shelves;
  std::set<int> tags{3, 1, 2};
  std::deque<double> recent{1.5, 2.5};
  std::list<std::string> notes{"open", "close"};
  std::optional<Money> best;
  std::variant<int, std::string> state = std::string("waiting");
  std::unique_ptr<Item> offer;
  std::tuple<int, double, std::string> triple{1, 2.5, "three"};
  std::pair<const char*, bool> flag{"flag", true};
  std::function<int(int)> twice = [](int n) { return 2 * n; };
  std::chrono::milliseconds pause{250};
  std::vector<bool> bits{true, false, true};
  Ring<Money, 4> sales;
  std::string long_text = std::string(40, 'x') + " a long text that is not kept inside of the string";
  const Item& cheapest() const { return **std::min_element(items.begin(), items.end(), [](auto& a, auto& b) { return a->price < b->price; }); }
  Money total() const { Money sum; for (auto& i : items) sum = sum + i->times(stock.at(i->name)); return sum; }
  void print() const { for (auto& i : items) std::cout << i->describe() << ", " << stock.at(i->name) << std::endl; }
  void print_part() const { std::cout << "<" << items.size() << " items>"; }      // stays in the stream's buffer
  void log_part() const { std::clog << "<log>"; }
  std::string report() const { std::ostringstream out; out << "total " << total(); return out.str(); }
  int look_up(const std::string& name) const {
    auto found = stock.find(name);
    if (found == stock.end()) throw std::out_of_range("no " + name);
    return found->second;
  }
  int tolerant(const char* name) const { try { return look_up(name); } catch (const std::exception& e) { std::puts(e.what()); return -1; } }
  __attribute__((noinline)) long inspect(int round, const std::string& why) {
    const Item* first = items.front().get();
    Named& base = *items.back();
    long sum = total().cents;
    auto it = stock.begin();
    auto [key, count] = *it;
    return sum + round + count + static_cast<long>(key.size() + why.size() + base.name.size()) + first->tag;  // stop here
  }
};
template <typename T> T larger(T a, T b) { return a < b ? b : a; }
template int larger<int>(int, int);
template double larger<double>(double, double);
}  // namespace shop

shop::Shop* current;
static shop::Item anonymous("static", 1);

int main() {
  shop::Shop shop;
  current = &shop;
  shop.items.push_back(std::make_shared<shop::Item>("apple", 30));
  shop.items.push_back(std::make_shared<shop::Item>("cheese", 1250, shop::Unit::kilogram));
  shop.stock = {{"apple", 10}, {"cheese", 2}};
  shop.shelves = {{7, "seven"}};
  shop.sales.push({100});
  long one = shop.inspect(1, "first");
  shop.items.push_back(std::make_shared<shop::Item>("pear", 45));
  shop.stock["pear"] = 4;
  shop.best = shop.cheapest().price;
  shop.offer = std::make_unique<shop::Item>("offer", 5);
  shop.state = 17;
  shop.sales.push({250});
  int caught = shop.tolerant("melon");
  long two = shop.inspect(2, "second");
  long three = shop.inspect(3, "third");
  std::cout << one << ' ' << two << ' ' << three << ' ' << caught << ' ' << anonymous.describe() << std::endl;
  shop.inspect(4, "last");
  return 0;
}
