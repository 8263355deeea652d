/** Prints what a run says itself, and why it failed; nothing about how it is run. */

import type { Reporter, TestCase, TestError, TestResult } from "@playwright/test/reporter";

// Control sequences are for terminals, and this may go to a file.
const uncoloured = (text: string) => text.replace(/\x1b\[[0-9;]*m/g, "");

export default class Plain implements Reporter {
  private said(error: TestError): void {
    const text = error.stack ?? error.message ?? String(error.value);
    process.stderr.write(`error: ${uncoloured(text)}\n${error.snippet ? "\n" : ""}`);
    if (error.snippet) process.stderr.write(`${uncoloured(error.snippet)}\n`);
  }

  onStdOut(chunk: string | Buffer): void {
    process.stdout.write(chunk);
  }

  onStdErr(chunk: string | Buffer): void {
    process.stderr.write(chunk);
  }

  onTestEnd(_test: TestCase, result: TestResult): void {
    for (const error of result.errors) this.said(error);
  }

  onError(error: TestError): void {
    this.said(error);
  }

  printsToStdio(): boolean {
    return true;
  }
}
