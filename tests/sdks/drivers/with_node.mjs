// The SDKs of Node: the Vercel AI SDK, OpenAI's and Anthropic's. The same lines in and out as asking.py says.
import { createInterface } from "node:readline";

const HURRY = 20;
const SHORTEST = 50; // milliseconds; shorter timers are no wait between attempts
const LONGEST = 120_000; // longer ones are time limits, not waits
const waits = [];
const say = (found) => console.log(JSON.stringify(found));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let gate = false;
const timer = globalThis.setTimeout;
globalThis.setTimeout = (after, milliseconds, ...rest) => {
  const own = milliseconds >= SHORTEST && milliseconds < LONGEST && !new Error().stack.includes("undici");
  if (!own) return timer(after, milliseconds, ...rest); // Node's own fetch keeps time with a timer of its own
  const waited = (...given) => {
    waits.push(Math.round(milliseconds / 100) / 10);
    return after(...given);
  };
  if (gate) {
    gate = false;
    say({ waiting: milliseconds / 1000 });
    lines.next().then(() => waited(...rest));
    return timer(() => {}, 0);
  }
  return timer(waited, milliseconds / HURRY, ...rest);
};

const drivers = {
  "openai chat": async () => {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI();
    return async ({ model, prompt, stream }) => {
      const asked = { model, messages: [{ role: "user", content: prompt }] };
      if (!stream) {
        const answer = await client.chat.completions.create(asked);
        const [choice] = answer.choices;
        return { finish: choice.finish_reason, model: answer.model, text: choice.message.content };
      }
      const found = { finish: null, model: null, text: "" };
      for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
        found.model = chunk.model;
        found.finish = chunk.choices[0]?.finish_reason ?? found.finish;
        found.text += chunk.choices[0]?.delta.content ?? "";
      }
      return found;
    };
  },
  "openai responses": async () => {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI();
    return async ({ model, prompt, stream }) => {
      let answer = await client.responses.create({ model, input: prompt, stream });
      let text = answer.output_text ?? "";
      if (stream) {
        for await (const event of answer) {
          if (event.type === "response.output_text.delta") text += event.delta;
          if (event.response) answer = event.response;
        }
      }
      return { finish: answer.incomplete_details?.reason ?? answer.status, model: answer.model, text };
    };
  },
  anthropic: async () => {
    const { default: Anthropic } = await import("@anthropic-ai/sdk");
    const client = new Anthropic();
    return async ({ model, prompt, stream }) => {
      const asked = { model, max_tokens: 5000, messages: [{ role: "user", content: prompt }] };
      const answer = stream
        ? await client.messages.stream(asked).finalMessage()
        : await client.messages.create(asked);
      return { finish: answer.stop_reason, model: answer.model, text: answer.content[0].text };
    };
  },
  "vercel openai": async () => {
    const { openai } = await import("@ai-sdk/openai");
    return await vercel((model) => openai(model));
  },
  "vercel anthropic": async () => {
    const { anthropic } = await import("@ai-sdk/anthropic");
    return await vercel((model) => anthropic(model));
  },
};

async function vercel(named) {
  const { generateText, streamText } = await import("ai");
  return async ({ model, prompt, stream }) => {
    const asked = { model: named(model), prompt };
    if (!stream) {
      const answer = await generateText(asked);
      return { finish: answer.finishReason, model: answer.response.modelId, text: answer.text };
    }
    const answer = streamText({ ...asked, onError: () => {} });
    for await (const part of answer.fullStream) if (part.type === "error") throw part.error;
    return { finish: await answer.finishReason, model: (await answer.response).modelId, text: await answer.text };
  };
}

function read(line, error) {
  try {
    return new Function("error", `return ${line}`)(error);
  } catch (why) {
    return `cannot be read: ${why}`;
  }
}

const call = await drivers[process.argv[2]]();
say({ ready: true });
for (let line = await lines.next(); !line.done; line = await lines.next()) {
  const asked = JSON.parse(line.value);
  waits.length = 0;
  gate = asked.gate;
  let found;
  try {
    const { finish, model, text } = await call(asked);
    found = { finish, model, characters: text.length };
  } catch (error) {
    found = {
      error: error.constructor.name,
      status: read(asked.status, error),
      budget: read(asked.budget, error),
      message: String(error.message).slice(0, 300),
    };
  }
  say({ ...found, waits });
}
