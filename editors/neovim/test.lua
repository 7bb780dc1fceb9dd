-- Run by test.sh. Ends Neovim with an exit code.

local function check(holds, what)
  if not holds then
    error(what, 2)
  end
end

local function equal(found, expected, what)
  if not vim.deep_equal(found, expected) then
    error(what .. ': expected ' .. vim.inspect(expected) .. ', found ' .. vim.inspect(found), 2)
  end
end

local function ask(method, params)
  local answers, failure = vim.lsp.buf_request_sync(0, method, params, 20000)
  check(answers, method .. ' had no answer: ' .. tostring(failure))
  for _, answer in pairs(answers) do
    check(not answer.err, method .. ': ' .. vim.inspect(answer.err))
    return answer.result
  end
  error(method .. ' reached no server')
end

local function at(line, column)
  vim.api.nvim_win_set_cursor(0, { line, column })
  return vim.lsp.util.make_position_params(0, 'utf-16')
end

local function run()
  vim.cmd('edit main.aent')
  equal(vim.bo.filetype, 'aent', 'the type of the file')
  check(vim.wait(20000, function()
    return #vim.diagnostic.get(0) > 0
  end), 'no finding was shown')

  local findings = vim.diagnostic.get(0)
  equal(#findings, 1, 'the number of findings')
  equal(findings[1].code, 'unknown-name', 'the id of the finding')
  equal({ findings[1].lnum, findings[1].col }, { 4, 7 }, 'the place of the finding')

  local hover = ask('textDocument/hover', at(4, 13))
  check(hover.contents.value:find('A value times a factor', 1, true), 'hover: ' .. hover.contents.value)

  local place = ask('textDocument/definition', at(4, 13))[1]
  check(place.uri:find('helpers.aent$'), 'definition: ' .. place.uri)
  equal(place.range.start, { line = 1, character = 3 }, 'the place of the definition')

  local completion = ask('textDocument/completion', at(5, 10))
  local labels = vim.tbl_map(function(item)
    return item.label
  end, completion.items)
  check(vim.tbl_contains(labels, 'token_mean'), 'token_mean is no completion')

  -- The quick fix, as an editor applies it.
  local params = vim.lsp.util.make_range_params(0, 'utf-16')
  params.range = { start = { line = 4, character = 7 }, ['end'] = { line = 4, character = 16 } }
  params.context = { diagnostics = {} }
  local action = ask('textDocument/codeAction', params)[1]
  vim.lsp.util.apply_workspace_edit(action.edit, 'utf-16')
  equal(vim.fn.getline(5), 'loss = token_mean(half * advantages)', 'the line after the fix')
  check(vim.wait(20000, function()
    local left = vim.diagnostic.get(0)
    return #left > 0 and left[1].code ~= 'unknown-name'
  end), 'the fixed text was not checked again')

  local rename = at(3, 7)
  rename.newName = 'r'
  vim.lsp.util.apply_workspace_edit(ask('textDocument/rename', rename), 'utf-16')
  equal(vim.fn.getline(4), 'let half = scaled(r)', 'the line after the rename')

  local edits = ask('textDocument/formatting', vim.lsp.util.make_formatting_params())
  vim.lsp.util.apply_text_edits(edits, 0, 'utf-16')
  equal(vim.fn.getline(2), '# β 🙂', 'the comment after formatting')
  equal(vim.fn.getline(3), 'let r = exp(log_prob - old_log_prob)', 'the line after formatting')
end

local well, failure = pcall(run)
io.stdout:write(well and 'Neovim: all answers are right\n' or ('Neovim: ' .. tostring(failure) .. '\n'))
vim.cmd(well and 'qall!' or 'cquit 1')
