{
  'variables': {
    # node-gyp configure build -- -Dnative_tests=1 also builds the C++ test program.
    'native_tests%': 0,
    # -Dbench=1 also builds what `npm run bench` measures without JavaScript.
    'bench%': 0,
    # Words, not 0 and 1: gyp turns a number-like string into an int and the comparison fails.
    'sanitize%': '<!(node -p "process.env.BLK_INTEGRITY_SANITIZE ? \'on\' : \'off\'")',
    'sanitizer_cflags': [
      '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-fno-omit-frame-pointer', '-g',
      # Its checks and the sanitizer's interceptors do not go together.
      '-U_FORTIFY_SOURCE',
      # Not in the released addon: a failed assertion's symbol is of GLIBCXX_3.4.30, which RHEL 9 does not have.
      '-D_GLIBCXX_ASSERTIONS',
    ],
    'core_sources': [
      'native/core/block_io.cc',
      'native/core/copy_intervals.cc',
      'native/core/crc16_t10dif.cc',
      'native/core/crc64_nvme.cc',
      'native/core/device_node.cc',
      'native/core/guard_kernels.cc',
      'native/core/guard_kernels/avx2.cc',
      'native/core/guard_kernels/avx2_vpclmul.cc',
      'native/core/guard_kernels/avx512_gfni.cc',
      'native/core/guard_kernels/pclmul.cc',
      'native/core/guard_kernels/pmull.cc',
      'native/core/guard_kernels/portable.cc',
      'native/core/insert_strip.cc',
      'native/core/io_uring.cc',
      'native/core/ip_checksum.cc',
      'native/core/lbmd.cc',
      'native/core/nvme.cc',
      'native/core/open_nodes.cc',
      'native/core/pinned_memory.cc',
      'native/core/priority.cc',
      'native/core/read_verify.cc',
      'native/core/sg_io.cc',
      'native/core/sysfs.cc',
      'native/core/tcmu_ring.cc',
      'native/core/tuple_parts.cc',
      'native/core/tuples.cc',
    ],
  },
  'target_defaults': {
    'include_dirs': ['native'],
    'cflags': [
      '-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Wformat=2', '-Werror',
      '-fvisibility=hidden', '-fstack-protector-strong', '-fstack-clash-protection',
    ],
    # common.gypi's own -std comes after target_defaults, so ours only counts once it is gone.
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
    'cflags_cc': ['-std=c++20', '-fvisibility-inlines-hidden'],
    'ldflags': ['-Wl,-z,relro', '-Wl,-z,now', '-Wl,-z,noexecstack'],
    'conditions': [
      ['sanitize=="on"', {
        'cflags': ['<@(sanitizer_cflags)'],
        'ldflags': ['-fsanitize=address,undefined'],
      }, {
        'cflags': ['-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2'],
      }],
      ['target_arch=="x64"', { 'cflags': ['-fcf-protection=full'] }],
      ['target_arch=="arm64"', { 'cflags': ['-mbranch-protection=standard'] }],
    ],
  },
  'targets': [
    {
      # No Node in here: the same objects serve the addon and the C++ tests.
      'target_name': 'blk_integrity_core',
      'type': 'static_library',
      'sources': ['<@(core_sources)'],
    },
    {
      'target_name': 'blk_integrity',
      # "except_all": an exception of the standard library, such as a thread that cannot be started, becomes a JavaScript error.
      'dependencies': [
        'blk_integrity_core',
        '<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except_all',
      ],
      'sources': [
        'native/addon/addon.cc',
        'native/addon/background.cc',
        'native/addon/convert.cc',
        'native/addon/guard_kernels.cc',
        'native/addon/handle.cc',
        'native/addon/open_nodes.cc',
        'native/addon/prepared.cc',
        'native/addon/snapshot.cc',
        'native/addon/tcmu_server.cc',
        'native/addon/tuples.cc',
      ],
      'defines': [
        'NAPI_VERSION=9',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        # Without it an error while the environment ends would abort the process.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      # The same headers again as system headers, so that the warnings only speak of our code.
      'cflags_cc': ['-isystem', '<!(node -p "require(\'path\').resolve(require(\'node-addon-api\').include_dir)")'],
    },
  ],
  'conditions': [
    ['bench==1', {
      'targets': [
        {
          # node-gyp-build takes the first module in build/Release for the addon: this one must come behind it.
          'target_name': 'performance_candidates',
          'type': 'loadable_module',
          'dependencies': [
            'blk_integrity_core',
            '<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except_all',
          ],
          'sources': ['bench/candidates.cc'],
          'defines': ['NAPI_VERSION=9', 'NODE_ADDON_API_DISABLE_DEPRECATED'],
          'cflags_cc': ['-isystem', '<!(node -p "require(\'path\').resolve(require(\'node-addon-api\').include_dir)")'],
          'libraries': ['-ldl'],
        },
      ],
    }],
    ['native_tests==1', {
      'targets': [
        {
          'target_name': 'core_test',
          'type': 'executable',
          'dependencies': ['blk_integrity_core'],
          'sources': ['native/test/core_test.cc'],
        },
        {
          # Core and its tests again under the sanitizers, whatever the others are built with: objects of a target are its own.
          'target_name': 'blk_integrity_core_sanitized',
          'type': 'static_library',
          'sources': ['<@(core_sources)'],
          'cflags!': ['-O3', '-D_FORTIFY_SOURCE=2'],
          'cflags': ['-O1', '<@(sanitizer_cflags)'],
          'all_dependent_settings': {
            'cflags!': ['-O3', '-D_FORTIFY_SOURCE=2'],
            'cflags': ['-O1', '<@(sanitizer_cflags)'],
            'ldflags': ['-fsanitize=address,undefined'],
          },
        },
        {
          'target_name': 'core_test_sanitized',
          'type': 'executable',
          'dependencies': ['blk_integrity_core_sanitized'],
          'sources': ['native/test/core_test.cc'],
        },
        {
          # Without anything of the system: it runs under emulators of other CPUs too.
          'target_name': 'guard_kernels_test',
          'type': 'executable',
          'dependencies': ['blk_integrity_core'],
          'sources': ['native/test/guard_kernels_test.cc'],
        },
        {
          'target_name': 'guard_kernels_test_sanitized',
          'type': 'executable',
          'dependencies': ['blk_integrity_core_sanitized'],
          'sources': ['native/test/guard_kernels_test.cc'],
        },
        {
          'target_name': 'core_fuzz',
          'type': 'executable',
          'dependencies': ['blk_integrity_core_sanitized'],
          'sources': ['native/test/core_fuzz.cc'],
        },
        {
          # Serves a block disk to the kernel tests.
          'target_name': 'ublk_disk',
          'type': 'executable',
          'dependencies': ['blk_integrity_core'],
          'sources': ['native/test/ublk_disk.cc'],
        },
        {
          # Preloaded into programs of others, which do not bring a sanitizer's runtime along. node-gyp calls every module .node.
          'target_name': 'sg_io_relay',
          'type': 'loadable_module',
          'sources': ['native/test/sg_io_relay.cc'],
          'cflags!': ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
          'ldflags!': ['-fsanitize=address,undefined'],
        },
      ],
    }],
  ],
}
