/** From what is in a question's form to the answer that the protocol has for it. Pure. */

import type {
  AnswerValue,
  ChatInputAnswer,
  ChatInputQuestion,
  ChatInputRequest,
} from "../ahp/types";
import { texts } from "./texts";

/** What a form holds for one question. */
export interface Field {
  /** Words, or the id of what was chosen. */
  text: string;
  chosen: string[];
  /** Own words beside the choices. */
  own: string;
  yes: boolean | undefined;
}

/** The choice about a plan that goes with words. */
const SUGGEST = "suggest";

export const isPlan = (request: ChatInputRequest): boolean => /^plan-\d+$/.test(request.id);

/** Whether a choice is made by tapping it, or needs words first. */
export const needsWords = (request: ChatInputRequest, optionId: string): boolean =>
  isPlan(request) && optionId === SUGGEST;

export const isChoice = (question: ChatInputQuestion): boolean =>
  question.kind === "single-select" || question.kind === "multi-select";

export function initial(question: ChatInputQuestion): Field {
  const value = question.defaultValue;
  return {
    text: typeof value === "string" || typeof value === "number" ? String(value) : "",
    // What is recommended is what counts without another answer; one tap changes it.
    chosen: (question.options ?? [])
      .filter((option) => option.recommended === true)
      .map((option) => option.id)
      .slice(0, question.kind === "multi-select" ? undefined : 1),
    own: "",
    yes: typeof value === "boolean" ? value : undefined,
  };
}

export type Filled = { value: AnswerValue | undefined } | { problem: string };

/** The value of one field, nothing when it may stay empty, or what is wrong with it. */
export function valueOf(question: ChatInputQuestion, field: Field): Filled {
  const missing: Filled =
    question.required === true ? { problem: texts.required } : { value: undefined };
  const own = field.own.trim();
  switch (question.kind) {
    case "boolean":
      return field.yes === undefined ? missing : { value: { kind: "boolean", value: field.yes } };
    case "number":
    case "integer": {
      if (field.text.trim() === "") return missing;
      const value = Number(field.text);
      const { min, max } = question;
      const fits =
        Number.isFinite(value) &&
        (question.kind === "number" || Number.isInteger(value)) &&
        (min === undefined || value >= min) &&
        (max === undefined || value <= max);
      return fits ? { value: { kind: "number", value } } : { problem: texts.between(min, max) };
    }
    case "single-select": {
      const [chosen] = field.chosen;
      const freeform = own ? { freeformValues: [own] } : {};
      if (chosen !== undefined) return { value: { kind: "selected", value: chosen, ...freeform } };
      return own ? { value: { kind: "selected", value: own, freeformValues: [own] } } : missing;
    }
    case "multi-select": {
      const many = field.chosen.length + (own ? 1 : 0);
      if (many === 0) return missing;
      const { min = 0, max = Infinity } = question;
      if (many < min || many > max) return { problem: texts.chooseBetween(min, max) };
      const freeform = own ? { freeformValues: [own] } : {};
      return { value: { kind: "selected-many", value: field.chosen, ...freeform } };
    }
    default:
      return field.text.trim() === "" ? missing : { value: { kind: "text", value: field.text } };
  }
}

export function answersOf(
  questions: ChatInputQuestion[],
  fields: Record<string, Field>,
): { answers: Record<string, ChatInputAnswer> } | { problems: Record<string, string> } {
  const answers: Record<string, ChatInputAnswer> = {};
  const problems: Record<string, string> = {};
  for (const question of questions) {
    const filled = valueOf(question, fields[question.id] ?? initial(question));
    if ("problem" in filled) problems[question.id] = filled.problem;
    else if (filled.value) answers[question.id] = { state: "submitted", value: filled.value };
  }
  return Object.keys(problems).length > 0 ? { problems } : { answers };
}
