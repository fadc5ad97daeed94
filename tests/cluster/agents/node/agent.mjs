// An agent that calls OpenAI with the vendor's Node SDK until it is refused or has made all its calls.
import OpenAI from "openai";

const { LABEL, CALLS, TOKENS = "200", MODEL = "gpt-4o", LINGER = "0" } = process.env;
const client = new OpenAI({
  apiKey: "sk-agent",
  defaultHeaders: { "x-sim-label": LABEL, "x-sim-output-tokens": TOKENS },
});
for (let number = 0; number < Number(CALLS); number++) {
  try {
    const answer = await client.chat.completions.create({
      model: MODEL,
      max_tokens: Number(TOKENS),
      messages: [{ role: "user", content: `Sort letter ${number} into one of the five folders.` }],
    });
    console.log(JSON.stringify({ status: 200, tokens: answer.usage.total_tokens }));
  } catch (error) {
    const why = { status: error.status ?? 0, code: error.code ?? "", message: String(error.message) };
    console.log(JSON.stringify(error.status ? why : { ...why, cause: String(error.cause ?? "") }));
    break;
  }
}
await new Promise((after) => setTimeout(after, Number(LINGER) * 1000));
