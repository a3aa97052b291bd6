// How functions of the shim end: every exception is caught, its message kept for the caller's thread.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>

enum Status : int { ok = 0, failed = 1, out_of_memory = 2 };

inline thread_local std::string last_message;

template <class Body> int guarded(Body body) noexcept {
  try {
    body();
    return ok;
  } catch (const c10::OutOfMemoryError &error) {
    last_message = error.what_without_backtrace();
    return out_of_memory;
  } catch (const c10::Error &error) {
    last_message = error.what_without_backtrace();
  } catch (const std::bad_alloc &) {
    last_message = "out of memory";
    return out_of_memory;
  } catch (const std::exception &error) {
    last_message = error.what();
  } catch (...) {
    last_message = "an exception of an unknown type";
  }
  return failed;
}
