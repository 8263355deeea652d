/** What the model of the demo does; everything else in it is real. */

import { say, tool, waitFor, type Step } from "../browser/world";

const write = (file: string): Step => ({ write_file: file });
const think = (text: string): Step => ({ think: text });

const PLAN = `## Sign the greeting

1. Read \`greeting.txt\`.
2. Put **everybody's** name below it.
3. Show the result.
`;

const turn = (match: string, ...responses: object[]) => ({ match, responses });
const steps = (...steps: Step[]) => ({ steps });

export const model = {
  prompts: [
    turn(
      "^greet",
      steps(
        think("There is no greeting in this folder yet."),
        say("I will write a greeting. First I look around."),
        waitFor("demo/paired"),
        tool("shell", {
          command: "echo 'Hello' > greeting.txt",
          description: "Write the greeting",
        }),
      ),
      steps(
        tool("ask_user", {
          question: "In which colour should it be shown?",
          choices: ["Red", "Blue", "As the terminal has it"],
        }),
      ),
      steps(say("The greeting is written.")),
    ),
    turn(
      "^sign",
      steps(tool("exit_plan_mode", { plan: PLAN, summary: "Sign the greeting" })),
      steps(tool("edit", { path: "greeting.txt", old: "Hello\n", new: "Hello\n\nAda\nGrace\n" })),
      steps(say("The greeting is signed, as planned.")),
    ),
    turn(
      "^check",
      steps(
        say("I compare it with the others."),
        write("demo/checking"),
        waitFor("demo/steered"),
        tool("view", { path: "greeting.txt" }),
      ),
      {
        when: { steered: "spelling" },
        ...steps(say("The spelling is right too."), write("demo/joined"), waitFor("demo/queued")),
      },
      steps(say("Nobody told me about the spelling.")),
    ),
    turn("^thank", steps(say("Thank you all."))),
    turn(
      "^wait",
      steps(
        say("This takes its time."),
        write("demo/waiting"),
        waitFor("demo/never"),
        say("Never."),
      ),
    ),
    turn("^introduce", steps(say("Hello, this is a second session."))),
  ],
};
