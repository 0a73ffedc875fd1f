//! What libraries have for themselves, where a plugin's own name would stand beside it.

/// Types of C's headers and of POSIX's, without their `_t`, which an open plugin's would be; and what their functions begin with that end as a
/// plugin's do, `sem_open`.
const C_TYPES: &str = "aio blkcnt blksize char16 char32 char8 clock clockid cnd dev div double errno error fd float fpos fsblkcnt fsfilcnt \
    fsid gid glob greg id idtype in_addr in_port ino int16 int32 int64 int8 intmax intptr key ldiv lldiv locale loff max_align mbstate mcontext \
    mode mq mtx nfds nl_catd nlink nullptr off pid posix pthread ptrdiff quad regex regmatch regoff register rlim rsize sa_family sched sem shm \
    sig_atomic siginfo sigset size socklen speed ssize stack suseconds tcflag thrd time timer tss ucontext uid uint16 uint32 uint64 uint8 uintmax \
    uintptr useconds wchar wctrans wctype wint wordexp";

/// Functions and structs of those headers that are a word, which no namespace of C++ may be called beside them.
const C_FUNCTIONS: &str = "abort abs accept access acct acos adjtime advance alarm alloca alphasort asin atan atexit atof atoi atol atoll basename \
    bcmp bcopy beta bind brk bsearch bzero calloc cbrt ceil chdir chmod chown chroot clearenv clearerr clock clone close closedir closelog connect \
    copysign cos cosh creat crypt ctermid ctime daemon difftime dirent dirfd dirname div dprintf drem dup dup2 endpwent environ erf exit exp exp2 \
    fabs fallocate fchdir fchmod fchown fclose fcntl fdatasync fdim fdopen feof ferror fflush ffs fgetc fgets fileno finite flock floor fma fmax fmin \
    fmod fopen fork fprintf fputc fputs fread free frexp fscanf fseek fstat fsync ftell ftok ftruncate ftw futimes fwrite gamma getc getchar getcpu \
    getcwd getenv getline getopt getpid gets getw glob gmtime group hypot ilogb index infinity insque ioctl iovec isatty j0 j1 jn kill killpg labs \
    ldexp ldiv lgamma linger link listen llabs lldiv localtime lockf log log10 log1p log2 logb longjmp lrint lround lseek lstat madvise malloc \
    memcpy mkdir mkfifo mknod mktemp mktime mlock mmap modf mount mprotect mremap msync munmap nan nice open opendir openlog passwd pause pclose \
    perror pipe poll pollfd popen pow pread printf profil puts putc putchar putenv putw pwrite qsort raise rand random read readahead readdir \
    readlink readv realloc realpath reboot recv recvmsg regcomp regex regexec remainder remove remque rename revoke rewind rewinddir rindex rint \
    rmdir round sbrk scalb scandir scanf seekdir select send sendfile sendmsg setbuf setenv setjmp setsid shutdown sigaction sigevent signal sigset \
    sigstack sigvec sigwait sin sinh sleep snprintf sockaddr socket splice spwd sqrt srand stat statfs statvfs statx stime strcpy strlen strdup \
    strtok strtol swab symlink sync syscall sysconf sysinfo syslog system tan tanh tee telldir tempnam termio termios time timegm timespec timeval \
    times timex timezone tm tmpfile tmpnam tolower toupper trunc truncate ttyname tzset ucred umask uname ungetc unlink unshare usleep ustat utimbuf \
    utime utimes utmp vfork wait waitpid winsize write writev y0 y1 yn";

/// Modules of Python's library, from 3.8 to 3.14: `sys.stdlib_module_names`.
const PYTHON_MODULES: &str = "abc aifc annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii \
    binhex bisect builtins bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall compression concurrent \
    configparser contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest email \
    encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch formatter fractions ftplib functools gc genericpath getopt getpass \
    gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect io ipaddress itertools json keyword \
    lib2to3 linecache locale logging lzma macpath mailbox mailcap marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis \
    nntplib nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev parser pathlib pdb pickle pickletools pipes pkgutil platform \
    plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib \
    resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 \
    sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess sunau symbol symtable sys sysconfig syslog tabnanny \
    tarfile telnetlib tempfile termios test textwrap this threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle \
    turtledemo types typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc \
    zipapp zipfile zipimport zlib zoneinfo";

/// What no prefix in C may be.
pub fn c() -> impl Iterator<Item = &'static str> {
    C_TYPES.split_whitespace()
}

/// What no namespace in C++ may be, beside the language's words.
pub fn cpp() -> impl Iterator<Item = &'static str> {
    C_FUNCTIONS.split_whitespace()
}

/// What no package of Python may be, beside the language's words.
pub fn python() -> impl Iterator<Item = &'static str> {
    PYTHON_MODULES.split_whitespace()
}
