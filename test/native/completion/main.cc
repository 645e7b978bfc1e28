// Tests of the software execution of AVX and AVX-512 (native/completion) against silicon.
//
//   completion-tests check FILE           software against recorded answers
//   completion-tests record FILE HEADING [PREFIX]  writes this processor's answers, to the forms whose names
//                                         begin so (legacy.2.66, evex)
//   completion-tests live [PREFIX]        software against this processor, with differences
//   completion-tests fuzz COUNT SEED      random bytes and registers
//   completion-tests lines                instructions and registers from standard input: lines.h
//   completion-tests bench                nanoseconds an instruction
//   completion-tests approximations       approximation_tables.h of this processor
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "approximations.h"
#include "fuzz.h"
#include "lines.h"
#include "plain.h"
#include "run.h"

namespace {

using namespace revenant::completion_test;

Bench bench;
Silicon silicon;

int usage() {
  std::fprintf(stderr,
               "completion-tests: check FILE | record FILE HEADING [PREFIX] | live [PREFIX] | fuzz COUNT "
               "SEED [alone] | lines | bench | approximations\n");
  return 2;
}

// `kind`: how the forms' names begin.
int record(const char* path, const char* heading, const char* kind) {
  if (bench.silicon == nullptr) {
    std::fprintf(stderr, "completion-tests: this processor has no AVX\n");
    return 1;
  }
  unsigned missing = 0;
  std::vector<Answer> answers;
  std::vector<Form> others;
  each_candidate([&](Form form) {
    if (std::strncmp(name_of(form), kind, std::strlen(kind)) != 0 || !learn(silicon, form)) return;
    if (compare(bench, form, 0).missing == kSamplesPerForm) {
      missing++;
      return;
    }
    Answer answer = {form, silicon_digest(bench, form)};
    if (answer.digest != silicon_digest(bench, form)) {
      std::printf("%s: differs from one execution to the next; left out\n", name_of(form));
      return;
    }
    if (answer.digest == software_digest(bench, form, silicon_features()))
      answers.push_back(answer);
    else
      others.push_back(form);
  });
  std::FILE* const file = std::fopen(path, "w");
  if (file == nullptr || !write_answers(file, heading, bench.vendor, silicon_features(), answers)) {
    std::perror(path);
    return 1;
  }
  for (const Form& form : others) std::fprintf(file, "# not so in software: %s\n", name_of(form));
  if (std::fclose(file) != 0) {
    std::perror(path);
    return 1;
  }
  std::printf("%zu forms, %u samples each; %zu more are not so in software, %u not executed\n",
              answers.size(), kSamplesPerForm, others.size(), missing);
  return 0;
}

// Software against this processor. Returns how many forms differ.
unsigned live(const char* prefix, unsigned say) {
  unsigned forms = 0, good = 0, missing = 0;
  each_candidate([&](Form form) {
    const char* const name = name_of(form);
    if (std::strncmp(name, prefix, std::strlen(prefix)) != 0 || !learn(silicon, form)) return;
    forms++;
    const Comparison result = compare(bench, form, 0);
    if (result.equal == result.samples) {
      good++;
      return;
    }
    if (result.missing != 0) missing++;
    std::printf("%s: %u of %u differ, %u not executed\n", name_of(form), result.samples - result.equal,
                result.samples, result.missing);
    if (say != 0 && result.missing == 0) compare(bench, form, say);
  });
  std::printf("%u forms of this processor, %u as in software, %u missing\n", forms, good, missing);
  return forms - good;
}

int check(const char* path) {
  std::FILE* const file = std::fopen(path, "r");
  std::vector<Answer> answers;
  unsigned line = 0;
  std::uint64_t features = 0;
  if (file == nullptr || !read_answers(file, bench.vendor, features, answers, line)) {
    std::fprintf(stderr, "completion-tests: %s: line %u: not an answer\n", path, line);
    return 1;
  }
  std::fclose(file);
  unsigned wrong = 0;
  for (const Answer& answer : answers) {
    if (software_digest(bench, answer.form, features) == answer.digest) continue;
    std::printf("FAIL  %s: not the recorded answers\n", name_of(answer.form));
    wrong++;
  }
  std::printf("%zu recorded forms, %zu the same in software\n", answers.size(), answers.size() - wrong);
  return answers.empty() || wrong != 0 ? 1 : 0;
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) return usage();
  if (has_avx()) {
    if (!silicon.open()) return 1;
    bench.silicon = &silicon;
  }
  bench.vendor = processor_vendor();
  const char* const command = words[1];
  if (std::strcmp(command, "check") == 0 && count == 3) return check(words[2]);
  if (std::strcmp(command, "record") == 0 && (count == 4 || count == 5))
    return record(words[2], words[3], count == 5 ? words[4] : "");
  if (std::strcmp(command, "live") == 0 && bench.silicon != nullptr)
    return live(count > 2 ? words[2] : "", count > 2 ? 1 : 0) == 0 ? 0 : 1;
  if (std::strcmp(command, "fuzz") == 0 && count == 5) bench.silicon = nullptr;
  if (std::strcmp(command, "fuzz") == 0 && (count == 4 || count == 5))
    return fuzz(bench, std::strtoull(words[2], nullptr, 0), std::strtoull(words[3], nullptr, 0)) ? 0 : 1;
  if (std::strcmp(command, "plain") == 0 && count == 4)
    return check_plain(std::strtoull(words[2], nullptr, 0), std::strtoull(words[3], nullptr, 0)) ? 0 : 1;
  if (std::strcmp(command, "lines") == 0) return execute_lines() ? 0 : 1;
  if (std::strcmp(command, "bench") == 0) return measure(bench) ? 0 : 1;
  if (std::strcmp(command, "approximations") == 0 && bench.silicon != nullptr)
    return print_approximations() ? 0 : 1;
  return usage();
}
