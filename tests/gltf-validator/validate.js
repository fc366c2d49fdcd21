// Validates glTF assets: node validate.js MODULES FILE... prints a JSON list of the reports.
const fs = require("node:fs");
const path = require("node:path");

async function main([modules, ...files]) {
  const validator = require(path.join(modules, "gltf-validator"));
  const reports = [];
  for (const file of files) {
    const bytes = new Uint8Array(fs.readFileSync(file));
    reports.push(await validator.validateBytes(bytes, { uri: file, maxIssues: 50 }));
  }
  console.log(JSON.stringify(reports));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
