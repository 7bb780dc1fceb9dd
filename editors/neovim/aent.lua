-- Neovim's own client for `aent lsp`, version 0.7 or newer. For your `init.lua`: `dofile('PATH/editors/neovim/aent.lua')`.

vim.api.nvim_create_autocmd({ 'BufRead', 'BufNewFile' }, {
  pattern = '*.aent',
  callback = function()
    vim.bo.filetype = 'aent'
    vim.bo.commentstring = '# %s'
  end,
})

vim.api.nvim_create_autocmd('FileType', {
  pattern = 'aent',
  callback = function(event)
    local file = vim.api.nvim_buf_get_name(event.buf)
    local git = vim.fn.finddir('.git', vim.fn.fnamemodify(file, ':p:h') .. ';')
    local root = git ~= '' and vim.fn.fnamemodify(git, ':p:h:h') or vim.fn.fnamemodify(file, ':p:h')
    local config = { name = 'aent', cmd = { vim.env.AENT or 'aent', 'lsp' }, root_dir = root }
    if vim.lsp.start then
      vim.lsp.start(config, { bufnr = event.buf })
    else
      vim.g.aent_client = vim.g.aent_client or vim.lsp.start_client(config)
      vim.lsp.buf_attach_client(event.buf, vim.g.aent_client)
    end
  end,
})
