// What waits for a thread, by who sent it: senders take turns, so that who sends much waits for
// that alone. Within one sender the first goes first.
//
// Not synchronized. Names of senders are kept only while something of theirs waits.
#pragma once

#include <algorithm>
#include <deque>
#include <list>
#include <string>
#include <unordered_map>
#include <utility>

namespace mortise::auth_rbac {

template <class Item>
class TurnQueue {
 public:
  bool empty() const { return turns_.empty(); }

  void push(const std::string& sender, Item item) {
    std::deque<Item>& items = of_[sender];
    if (items.empty()) turns_.push_back(sender);
    items.push_back(std::move(item));
  }

  // Not if it is empty.
  Item pop() {
    const auto it = of_.find(turns_.front());
    Item item = std::move(it->second.front());
    it->second.pop_front();
    if (it->second.empty()) {
      of_.erase(it);
      turns_.pop_front();
    } else {
      turns_.splice(turns_.end(), turns_, turns_.begin());
    }
    return item;
  }

  // Takes away the newest of the sender with the most, if `sender` would still have fewer with one
  // more. False: there is none.
  bool make_room_for(const std::string& sender, Item& out) {
    const auto own = of_.find(sender);
    const size_t has = own == of_.end() ? 0 : own->second.size();
    const auto most = std::max_element(of_.begin(), of_.end(), [](const auto& a, const auto& b) {
      return a.second.size() < b.second.size();
    });
    if (most == of_.end() || most->second.size() <= has + 1) return false;
    out = std::move(most->second.back());
    most->second.pop_back();
    return true;
  }

 private:
  std::unordered_map<std::string, std::deque<Item>> of_;
  std::list<std::string> turns_;  // Of those who have something, the next one first.
};

}  // namespace mortise::auth_rbac
